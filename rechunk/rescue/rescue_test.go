package rescue_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/rescue"
)

func TestCall(t *testing.T) {
	t.Parallel()
	if err := rescue.Call(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("no panic: %v", err)
	}
	err := rescue.Call(func() error { return overrun(nil) })
	var panicked *rescue.PanicError
	var fault runtime.Error
	if !errors.As(err, &panicked) || !errors.As(err, &fault) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(string(panicked.Stack), "overrun") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q, stack:\n%s", err, panicked.Stack)
	}
}

//go:noinline
func overrun(b []byte) error {
	if b[3] == 0 {
		return nil
	}
	return io.EOF
}
