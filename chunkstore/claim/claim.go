// Package claim tells processes that share a directory of each other, so that the first one may clear up what killed ones
// left.
//
// A claim is an advisory lock on a file in the directory, which the kernel drops when its process dies. Any number of
// processes hold a shared one while they work; a process that finds none may clear up before it joins.
package claim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// FileName is the name of the file that is locked. It stays in the directory: to remove it would race with others.
const FileName = "lock"

// ErrUnsupported says that the directory's filesystem, or the operating system, has no such locks.
var ErrUnsupported = errors.New("no file locks")

// ErrInUse says that what another process does with the directory does not go together with what this one wants to do.
var ErrInUse = errors.New("another process uses it")

// A Claim marks a directory as in use. It is safe for concurrent use.
type Claim struct {
	dir string

	mu   sync.Mutex
	file *os.File               // nil since Release
	as   func(f *os.File) error // what the process does with it, besides; nil: nothing that others need to know
}

// Directory claims a directory, which exists, until Release or the end of the process. When no other claim is held, alone is
// called before anybody else gets one; its error is returned, and nothing is claimed. An error that wraps ErrUnsupported
// says that nobody can know.
func Directory(dir string, alone func() error) (*Claim, error) {
	f, err := open(dir)
	if err != nil {
		return nil, err
	}
	first, err := lockAlone(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claiming %s: %w", dir, err), f.Close())
	}
	if first {
		if err := alone(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	// It waits for one that is clearing up.
	if err := lockShared(f); err != nil {
		return nil, errors.Join(fmt.Errorf("claiming %s: %w", dir, err), f.Close())
	}
	mark(f)
	return &Claim{dir: dir, file: f}, nil
}

func open(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, FileName), os.O_CREATE|os.O_RDWR|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming a directory: %w", err)
	}
	return f, nil
}

// Alone reports whether no other process holds a claim of the directory at this moment. Where that cannot be known it says
// no, and so does a nil Claim.
func (c *Claim) Alone() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file != nil && unmarked(c.file)
}

// Serve marks the process as one that serves from the directory, until Release: alone, or with shared beside others that
// agree with it by other means. It returns ErrInUse when another process serves that is not shared, too, or one writes.
// Where that cannot be known it returns nil, and so it does for a nil Claim.
func (c *Claim) Serve(shared bool) error {
	return c.do(func(f *os.File) error { return markServer(f, shared) })
}

// Write marks the process as one that adds to the directory on its own, beside others that do so, until Release. It returns
// ErrInUse when a process serves. Where that cannot be known it returns nil, and so it does for a nil Claim.
func (c *Claim) Write() error { return c.do(markWriter) }

// do marks what the process does.
func (c *Claim) do(as func(f *os.File) error) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := as(c.file)
	if err == nil {
		c.as = as
	}
	return err
}

// Renew claims the directory again where its files are others than those that were claimed, as after its file system was
// mounted anew. It waits for nobody: ErrInUse says that another process got there first. It does nothing to a nil Claim.
func (c *Claim) Renew() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	f, err := open(c.dir)
	if err != nil {
		return err
	}
	if same, err := sameFile(c.file, f); same || err != nil {
		return errors.Join(err, f.Close())
	}
	if err := lockBeside(f); err != nil {
		return errors.Join(fmt.Errorf("claiming %s: %w", c.dir, err), f.Close())
	}
	mark(f)
	if c.as != nil {
		if err := c.as(f); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	_ = c.file.Close() // its file system may be gone
	c.file = f
	return nil
}

func sameFile(a, b *os.File) (bool, error) {
	one, err := a.Stat()
	if err != nil {
		return false, nil // it is on a file system that is gone
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other), err
}

// firstName is the first byte of the file that stands for a name.
const firstName = 1 << 20

// How long Lock waits between two attempts.
const (
	firstWait = 2 * time.Millisecond
	longWait  = 50 * time.Millisecond
)

// Lock keeps the holders of other claims of the directory from a name until unlock, which is called once. It waits for one
// that has it, until ctx ends. Goroutines that share a claim have to see to themselves who of them has a name. Where nobody
// can know of others it keeps nobody, as that of a nil Claim.
func (c *Claim) Lock(ctx context.Context, name string) (unlock func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	sum := sha256.Sum256([]byte(name))
	at := firstName + int64(binary.BigEndian.Uint64(sum[:8])>>2)
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		unlock, err := c.tryLock(at)
		if !errors.Is(err, ErrInUse) {
			return unlock, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("waiting for %s: %w", name, context.Cause(ctx))
		}
	}
}

// tryLock locks a byte of the file, or returns ErrInUse.
func (c *Claim) tryLock(at int64) (unlock func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return func() {}, nil
	}
	f := c.file
	release, err := lockByte(f, at)
	if err != nil {
		return nil, err
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.file == f { // else its end was the lock's
			release()
		}
	}, nil
}

// Release gives the claim up. It is idempotent, and does nothing to a nil Claim.
func (c *Claim) Release() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return f.Close()
}
