//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package claim_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// Claims know whether there are others.
func TestAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only known on Linux")
	}
	dir := t.TempDir()
	one, _ := take(t, dir)
	if !one.Alone() {
		t.Error("the only claim is not alone")
	}
	two, _ := take(t, dir)
	if one.Alone() || two.Alone() {
		t.Error("two claims, and one of them is alone")
	}
	if err := two.Release(); err != nil {
		t.Fatal(err)
	}
	if !one.Alone() || two.Alone() || (*claim.Claim)(nil).Alone() {
		t.Errorf("after the release: %t, %t, %t", one.Alone(), two.Alone(), (*claim.Claim)(nil).Alone())
	}
}

// Who serves keeps away who would write behind its back, and the reverse; those that agree by other means go together.
func TestServersAndWriters(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only known on Linux")
	}
	server := func(c *claim.Claim) error { return c.Serve(false) }
	replica := func(c *claim.Claim) error { return c.Serve(true) }
	none := func(*claim.Claim) error { return nil }
	for name, c := range map[string]struct {
		first, second func(*claim.Claim) error
		refused       bool
	}{
		"two servers":     {server, server, true},
		"server, replica": {server, replica, true},
		"replica, server": {replica, server, true},
		"two replicas":    {replica, replica, false},
		"server, writer":  {server, (*claim.Claim).Write, true},
		"replica, writer": {replica, (*claim.Claim).Write, true},
		"writer, server":  {(*claim.Claim).Write, server, true},
		"writer, replica": {(*claim.Claim).Write, replica, true},
		"two writers":     {(*claim.Claim).Write, (*claim.Claim).Write, false},
		"reader, server":  {none, server, false},
		"reader, writer":  {none, (*claim.Claim).Write, false},
		"no locks, then writers": {func(*claim.Claim) error { return (*claim.Claim)(nil).Serve(false) },
			(*claim.Claim).Write, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			one, _ := take(t, dir)
			if err := c.first(one); err != nil {
				t.Fatal(err)
			}
			two, _ := take(t, dir)
			if err := c.second(two); errors.Is(err, claim.ErrInUse) != c.refused {
				t.Errorf("the second: %v", err)
			}
			if err := errors.Join(one.Release(), two.Release()); err != nil {
				t.Fatal(err)
			}
			if three, _ := take(t, dir); three.Serve(false) != nil {
				t.Error("after the release it is in use")
			}
		})
	}
}

// A link in the lock's place would have its target made, or held open.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(target, filepath.Join(dir, claim.FileName)); err != nil {
		t.Fatal(err)
	}
	if c, err := claim.Directory(dir, func() error { return nil }); err == nil {
		t.Error("it is claimed", c.Release())
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the target is made")
	}
}

// A directory whose files are others than before is claimed again, for what it was claimed for; not where somebody else was
// first.
func TestRenew(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only known on Linux")
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first, _ := take(t, dir)
	if err := errors.Join(first.Serve(false), first.Renew(), (*claim.Claim)(nil).Renew()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	other, alone := take(t, dir)
	if err := other.Serve(false); err != nil || !alone {
		t.Fatal(alone, err)
	}
	if err := first.Renew(); !errors.Is(err, claim.ErrInUse) {
		t.Errorf("another one serves from it: %v", err)
	}
	if err := errors.Join(other.Release(), first.Renew()); err != nil {
		t.Fatal(err)
	}
	if third, alone := take(t, dir); alone || !errors.Is(third.Serve(false), claim.ErrInUse) {
		t.Errorf("alone: %t; it may serve beside the first", alone)
	}
	if err := errors.Join(first.Release(), first.Renew()); err != nil {
		t.Error(err)
	}
}

// Of several claims of a directory one has a name at a time; other names are free, and a claim that ends leaves none behind.
func TestNames(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux")
	}
	dir := t.TempDir()
	first, _ := take(t, dir)
	second, _ := take(t, dir)
	unlock, err := first.Lock(t.Context(), "tag a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := second.Lock(t.Context(), "tag b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := second.Lock(short, "tag a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a name that another has: %v", err)
	}
	unlock()
	again, err := second.Lock(t.Context(), "tag a")
	if err != nil {
		t.Fatal(err)
	}
	if first.Alone() || second.Alone() {
		t.Error("names count as claims")
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
	again()
	if unlock, err = first.Lock(t.Context(), "tag a"); err != nil {
		t.Fatal(err)
	}
	unlock()
	var count atomic.Int64 // the race detector knows nothing of the kernel's locks
	var wg sync.WaitGroup
	third, _ := take(t, dir)
	for _, c := range []*claim.Claim{first, third} {
		wg.Go(func() {
			for range 200 {
				unlock, err := c.Lock(t.Context(), "tag c")
				if err != nil {
					t.Error(err)
					return
				}
				had := count.Load()
				runtime.Gosched()
				count.Store(had + 1) // without a lock some are lost
				unlock()
			}
		})
	}
	wg.Wait()
	if n := count.Load(); n != 400 {
		t.Errorf("counted %d times", n)
	}
	var none *claim.Claim
	if unlock, err = none.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	unlock()
}
