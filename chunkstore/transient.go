package chunkstore

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
)

// Transient reports whether an error may pass by itself, so that the same call is worth repeating after a pause: network
// failures, timeouts, throttling, an overloaded backend, a shortage of file handles. It is false for nil, for a cancelled
// context, for a full backend (which waits for its operator) and for whatever is not known to pass.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	all := causes(err)
	if anyCause(all, isPermanent) {
		return false
	}
	return anyCause(all, isTransient)
}

func isPermanent(err error) bool {
	switch err {
	case context.Canceled, ErrNotFound, ErrVerify, ErrCorrupt, ErrNoSpace, ErrTooLarge, ErrInvalid, ErrFormat:
		return true
	}
	return isNotFound(err) || isNoSpace(err)
}

func isTransient(err error) bool {
	if err == io.ErrUnexpectedEOF || err == ErrUnreachable || err == context.DeadlineExceeded {
		return true
	}
	if no, ok := err.(syscall.Errno); ok {
		return slices.Contains(passingErrnos(), no)
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return true
	}
	if e, ok := err.(interface{ StatusCode() int }); ok && passingStatus(e.StatusCode()) {
		return true
	}
	if e, ok := err.(interface{ Code() string }); ok {
		return slices.Contains(passingCodes(), e.Code())
	}
	return false
}

func passingErrnos() []syscall.Errno {
	return []syscall.Errno{
		syscall.EAGAIN, syscall.EINTR, syscall.EBUSY, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ESTALE,
		syscall.ETIMEDOUT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN,
	}
}

func passingStatus(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests ||
		code >= 500 && code != http.StatusNotImplemented && code != http.StatusInsufficientStorage
}

// passingCodes are S3 error codes and codes of the AWS library that mean "again, later".
func passingCodes() []string {
	return []string{
		"InternalError", "OperationAborted", "ReadTimeout", "RequestError", "RequestThrottled", "RequestTimeout",
		"RequestTimeoutException", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
		"TooManyRequestsException",
	}
}

func isNoSpace(err error) bool {
	switch err {
	case syscall.ENOSPC, syscall.EDQUOT, ErrNoSpace:
		return true
	}
	if e, ok := err.(interface{ StatusCode() int }); ok && e.StatusCode() == http.StatusInsufficientStorage {
		return true
	}
	if e, ok := err.(interface{ Code() string }); ok {
		return slices.Contains([]string{"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}, e.Code())
	}
	return false
}
