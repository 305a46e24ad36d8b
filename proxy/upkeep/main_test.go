package upkeep

import (
	"testing"

	"go.uber.org/goleak"
)

// stride is the step from one call that fails to the next: 1, and more where time is short.
func stride() int {
	if testing.Short() {
		return 9
	}
	return 1
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
