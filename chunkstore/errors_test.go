package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// s3Error has the methods of the AWS library's errors that matter.
type s3Error struct {
	code   string
	status int
	orig   error
}

func (e s3Error) Error() string {
	return fmt.Sprintf("%s: message\n\tstatus code: %d, request id: 1\ncaused by: %v", e.code, e.status, e.orig)
}
func (e s3Error) Code() string    { return e.code }
func (e s3Error) StatusCode() int { return e.status }
func (e s3Error) OrigErr() error  { return e.orig }

func wrapped(err error) error { return storagedriver.Error{DriverName: "test", Detail: err} }

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	path := func(err error) error { return &os.PathError{Op: "write", Path: "/f", Err: err} }
	for _, c := range []struct {
		err  error
		kind error
	}{
		{storagedriver.PathNotFoundError{Path: "/x"}, ErrNotFound},
		{wrapped(storagedriver.PathNotFoundError{Path: "/x"}), ErrNotFound},
		{wrapped(path(syscall.ENOSPC)), ErrNoSpace},
		{path(syscall.EDQUOT), ErrNoSpace},
		{path(syscall.EROFS), ErrNoSpace},
		{fileError(wrapped(path(syscall.ENOTCONN))), ErrUnreachable},
		{fileError(wrapped(path(syscall.ESTALE))), ErrUnreachable},
		{fileError(wrapped(path(syscall.EIO))), syscall.EIO}, // one file's, as far as anybody knows
		{storagedriver.Errors{DriverName: "d", Errs: []error{io.EOF, wrapped(path(syscall.ENOSPC))}}, ErrNoSpace},
		{wrapped(s3Error{"XMinioStorageFull", 507, nil}), ErrNoSpace},
		{wrapped(path(syscall.EACCES)), syscall.EACCES},
		{wrapped(path(syscall.EIO)), syscall.EIO},
		{wrapped(path(syscall.EMFILE)), syscall.EMFILE},
		{wrapped(s3Error{"RequestError", 0, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}), syscall.ECONNREFUSED},
		{s3Error{"SlowDown", 503, nil}, nil},
		{s3Error{"Whatever", 500, nil}, nil},
		{s3Error{"NotImplemented", 501, nil}, nil},
		{s3Error{"AccessDenied", 403, nil}, nil},
		{wrapped(s3Error{"RequestCanceled", 0, context.Canceled}), context.Canceled},
		{wrapped(context.DeadlineExceeded), context.DeadlineExceeded},
		{wrapped(io.ErrUnexpectedEOF), io.ErrUnexpectedEOF},
		{errors.Join(io.EOF, ErrCorrupt, io.ErrUnexpectedEOF), ErrCorrupt},
		{errors.New("anything"), nil},
	} {
		err := fmt.Errorf("caller: %w", failed("operation", c.err))
		if c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%v is not %v", err, c.kind)
		}
		if text := err.Error(); strings.ContainsAny(text, "\n\t{}") || !strings.HasPrefix(text, "caller: operation") {
			t.Errorf("text %q", text)
		}
	}
	if failed("op", nil) != nil || failedWrite("op", nil) != nil {
		t.Error("nil is an error")
	}
	if err := failedWrite("op", storagedriver.PathNotFoundError{}); errors.Is(err, ErrNotFound) {
		t.Error("a write says that something is not found")
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	full := &os.PathError{Op: "write", Path: "/srv/x", Err: syscall.ENOSPC}
	for want, err := range map[string]error{
		"op: not found": failed("op", storagedriver.PathNotFoundError{Path: "/x", DriverName: "filesystem"}),
		"op: no space left in the store: write /srv/x: no space left on device": failed("op", wrapped(full)),
		"op: too large: it has more than the 7 bytes allowed":                   tooLarge("op", 7),
	} {
		if err.Error() != want {
			t.Errorf("text %q, want %q", err, want)
		}
	}
}

// A bucket that is gone says nothing about what was in it.
func TestBucketGone(t *testing.T) {
	t.Parallel()
	if !isUnreachable(s3Error{"NoSuchBucket", 404, nil}) || isUnreachable(s3Error{"NoSuchKey", 404, nil}) {
		t.Error("a bucket that is gone and an object that is not there are told apart")
	}
}
