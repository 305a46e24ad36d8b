package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/strata-oci/strata/proxy/doctor"
)

// A host without a policy whose DNS does not know the registry.
func ExampleExamine() {
	report, err := doctor.Examine(context.Background(), "registry.example/os:1", doctor.Options{
		Root: fstest.MapFS{}, Platform: "linux/amd64",
		Resolve: func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range report.Findings {
		fmt.Println(f.State, f.Check)
	}
	fmt.Println(report.Works())
	// Output:
	// fine names
	// wrong reach
	// wrong policy
	// false
}
