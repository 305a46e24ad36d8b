package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
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
	program = filepath.Join(dir, "strata")
	build := exec.Command("go", "build", "-o", program, "github.com/strata-oci/strata/cmd/proxy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building strata: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
