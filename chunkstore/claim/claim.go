// Package claim tells processes that share a directory of each other, so that the first one may clear up what killed ones
// left.
//
// A claim is an advisory lock on a file in the directory, which the kernel drops when its process dies. Any number of
// processes hold a shared one while they work; a process that finds none may clear up before it joins.
package claim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// FileName is the name of the file that is locked. It stays in the directory: to remove it would race with others.
const FileName = "lock"

// ErrUnsupported says that the directory's filesystem, or the operating system, has no such locks.
var ErrUnsupported = errors.New("no file locks")

// ErrInUse says that what another process does with the directory does not go together with what this one wants to do.
var ErrInUse = errors.New("another process uses it")

// A Claim marks a directory as in use.
type Claim struct{ file *os.File }

// Directory claims a directory, which exists, until Release or the end of the process. When no other claim is held, alone is
// called before anybody else gets one; its error is returned, and nothing is claimed. An error that wraps ErrUnsupported
// says that nobody can know.
func Directory(dir string, alone func() error) (*Claim, error) {
	f, err := os.OpenFile(filepath.Join(dir, FileName), os.O_CREATE|os.O_RDWR|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming a directory: %w", err)
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
	return &Claim{f}, nil
}

// Alone reports whether no other process holds a claim of the directory at this moment. Where that cannot be known it says
// no, and so does a nil Claim.
func (c *Claim) Alone() bool { return c != nil && c.file != nil && unmarked(c.file) }

// Serve marks the process as one that serves from the directory, until Release: alone, or with shared beside others that
// agree with it by other means. It returns ErrInUse when another process serves that is not shared, too, or one writes.
// Where that cannot be known it returns nil, and so it does for a nil Claim.
func (c *Claim) Serve(shared bool) error {
	if c == nil || c.file == nil {
		return nil
	}
	return markServer(c.file, shared)
}

// Write marks the process as one that adds to the directory on its own, beside others that do so, until Release. It returns
// ErrInUse when a process serves. Where that cannot be known it returns nil, and so it does for a nil Claim.
func (c *Claim) Write() error {
	if c == nil || c.file == nil {
		return nil
	}
	return markWriter(c.file)
}

// Release gives the claim up. It is idempotent, and does nothing to a nil Claim.
func (c *Claim) Release() error {
	if c == nil || c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return f.Close()
}
