package e2e

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/strata-oci/strata/proxy/programtest"
)

// program is the strata program under test. TestMain sets it, nothing changes it.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program once for all tests.
func run(m *testing.M) int {
	// Distribution's registry logs through logrus's standard logger.
	logrus.SetOutput(io.Discard)
	dir, err := os.MkdirTemp("", "strata-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporary directory:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if program, err = programtest.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
