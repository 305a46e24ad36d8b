package rescue_test

import (
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/rescue"
)

// What parses in a goroutine of its own costs no more than its work when it panics.
func ExampleCall() {
	var g errgroup.Group
	g.Go(func() error {
		return rescue.Call(func() error { panic("mistake") })
	})
	var panicked *rescue.PanicError
	if err := g.Wait(); errors.As(err, &panicked) {
		fmt.Println(err, len(panicked.Stack) > 0)
	}
	// Output: panic: mistake true
}
