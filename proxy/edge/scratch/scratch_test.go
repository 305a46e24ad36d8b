package scratch_test

import (
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Files have no names, and what they take is given back.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir, space := t.TempDir(), workspace.New(10)
	files := scratch.New(dir, space)
	a, err := files.Create()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"abc", "def"} {
		if n, err := a.Write([]byte(s)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make([]byte, 4)
	if n, err := a.ReadAt(got, 1); n != 4 || err != nil || string(got) != "bcde" || a.Size() != 6 || space.Used() != 6 {
		t.Errorf("%q, %d, %v; size %d, used %d", got, n, err, a.Size(), space.Used())
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
	b, err := files.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("12345")); !errors.Is(err, tree.ErrLimit) || b.Size() != 0 {
		t.Errorf("beyond the budget: %v", err)
	}
	if err := errors.Join(a.Close(), a.Close(), b.Close()); err != nil || space.Used() != 0 {
		t.Errorf("%v, used %d", err, space.Used())
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrClosed) || space.Used() != 0 {
		t.Errorf("after Close: %v, used %d", err, space.Used())
	}
}
