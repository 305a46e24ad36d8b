//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package claim_test

import (
	"errors"
	"testing"

	"github.com/strata-oci/strata/chunkstore/claim"
)

// take claims a directory and reports whether nobody else had.
func take(t *testing.T, dir string) (*claim.Claim, bool) {
	t.Helper()
	alone := false
	c, err := claim.Directory(dir, func() error {
		alone = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	})
	return c, alone
}

func TestFirstIsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, alone := take(t, dir)
	if !alone {
		t.Error("the first claim is not alone")
	}
	second, alone := take(t, dir)
	if alone {
		t.Error("the second claim is alone")
	}
	if err := errors.Join(first.Release(), first.Release()); err != nil {
		t.Error(err)
	}
	if _, alone := take(t, dir); alone {
		t.Error("a claim beside the second is alone")
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}

func TestAloneAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		c, alone := take(t, dir)
		if !alone {
			t.Error("after the release of all claims, the next is not alone")
		}
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	}
}

func TestFailureClaimsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	failed := errors.New("failed")
	if _, err := claim.Directory(dir, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v, want %v", err, failed)
	}
	if _, alone := take(t, dir); !alone {
		t.Error("a claim that failed holds on")
	}
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	if _, err := claim.Directory(t.TempDir()+"/none", func() error { return nil }); err == nil {
		t.Error("a directory that does not exist was claimed")
	}
}
