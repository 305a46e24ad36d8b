package chunkstore

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// The kinds of failure that callers tell apart with errors.Is.
var (
	// ErrNotFound means that there is no such content or record.
	ErrNotFound = errors.New("not found")
	// ErrVerify means that written content is not what its writer announced. Nothing of it is visible.
	ErrVerify = errors.New("content does not match what was announced")
	// ErrCorrupt means that the backend returned something else than was stored. Content that is corrupt stays so until it
	// is deleted and written again.
	ErrCorrupt = errors.New("stored data is corrupt")
	// ErrNoSpace means that the backend takes nothing more: it is full, a quota is used up, or it has become read-only.
	ErrNoSpace = errors.New("no space left in the store")
	// ErrUnreachable means that the backend does not answer, or not in time. It may pass; nothing is known about what was
	// asked.
	ErrUnreachable = errors.New("the storage cannot be reached")
	// ErrTooLarge means that a document exceeds the limit that the error names.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid means that a digest, a record's kind or its key cannot be used.
	ErrInvalid = errors.New("invalid name")
	// ErrFormat means that the backend holds something else than a store, or a store of another version.
	ErrFormat = errors.New("not a store of this version")
)

// failure is the error of an operation: one line of text, a kind, and the causes beneath it.
type failure struct {
	op     string
	kind   error   // one of the sentinels, or nil
	causes []error // the driver's error and everything it hides, outermost first
}

// Error gives one line: the operation, the kind and the driver's own words.
func (f *failure) Error() string {
	parts := []string{f.op}
	if f.kind != nil {
		parts = append(parts, f.kind.Error())
	}
	if len(f.causes) > 0 && !errors.Is(f.kind, ErrNotFound) {
		// Drivers' messages span lines (AWS); an error of this package does not.
		parts = append(parts, strings.Join(strings.Fields(f.causes[0].Error()), " "))
	}
	return strings.Join(parts, ": ")
}

// Unwrap makes the kind and all causes visible to errors.Is and errors.As.
func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return f.causes
	}
	return append([]error{f.kind}, f.causes...)
}

// failed wraps what a driver returned from an operation and finds out its kind. It returns nil for nil.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	all := causes(err)
	kind := error(nil)
	switch {
	case anyCause(all, isNotFound):
		kind = ErrNotFound
	default:
		kind = failureKind(all)
	}
	return &failure{op: op, kind: kind, causes: shown(all)}
}

// failedWrite is failed for operations that look nothing up: a path that vanished meanwhile is no answer of "not found".
func failedWrite(op string, err error) error {
	if err == nil {
		return nil
	}
	all := causes(err)
	return &failure{op: op, kind: failureKind(all), causes: shown(all)}
}

// failureKind tells the kinds apart that an operation of any sort may fail with; nil for others.
func failureKind(all []error) error {
	switch {
	case anyCause(all, isNoSpace):
		return ErrNoSpace
	case slices.Contains(all, ErrUnreachable):
		return ErrUnreachable
	}
	return nil
}

// reject makes an error of a kind without a driver's cause.
func reject(op string, kind error, why string) error {
	f := &failure{op: op, kind: kind}
	if why != "" {
		f.causes = []error{errors.New(why)}
	}
	return f
}

// shown drops distribution's wrapper from the front: its text adds nothing to the detail that it hides.
func shown(all []error) []error {
	if _, wrapper := all[0].(storagedriver.Error); wrapper && len(all) > 1 {
		return all[1:]
	}
	return all
}

// causes lists err and all errors it was made of, outermost first. Distribution's and AWS's errors hide theirs from
// errors.Unwrap.
func causes(err error) []error {
	var all []error
	queue := []error{err}
	for len(queue) > 0 && len(all) < maxCauses {
		e := queue[0]
		queue = queue[1:]
		if e == nil {
			continue
		}
		all = append(all, e)
		queue = append(queue, beneath(e)...)
	}
	return all
}

// maxCauses bounds what is looked at in one error.
const maxCauses = 64

func beneath(err error) []error {
	switch e := err.(type) {
	case storagedriver.Error:
		return []error{e.Detail}
	case storagedriver.Errors:
		return e.Errs
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ OrigErr() error }:
		return []error{e.OrigErr()}
	}
	return nil
}

func anyCause(all []error, match func(error) bool) bool {
	for _, err := range all {
		if match(err) {
			return true
		}
	}
	return false
}

func isNotFound(err error) bool {
	_, ok := err.(storagedriver.PathNotFoundError)
	return ok || err == ErrNotFound
}

func isNoSpace(err error) bool {
	switch err {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, ErrNoSpace:
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
