package tracing_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/proxy/tracing"
)

func Example() {
	check := func(ctx context.Context, tag string) (err error) {
		ctx, ended := tracing.Start(ctx, "tag check", "tag", tag)
		defer func() { ended(err) }()
		tracing.Note(ctx, "known", true)
		return errors.New("the registry does not answer")
	}
	// The context belongs to no trace, so nothing is noted.
	fmt.Println(check(context.Background(), "stable"))
	// Output: the registry does not answer
}
