// Package workspace counts what temporary files take of the disk, for all together who write some.
package workspace

import (
	"errors"
	"fmt"
	"sync"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrUsedUp says that there is no room for more temporary files at the moment, as others have it.
var ErrUsedUp = errors.New("no room for temporary files")

// Budget bounds what all its users have on disk together. It is safe for concurrent use.
type Budget struct {
	limit int64

	mu   sync.Mutex
	used int64
}

// New returns a budget of so many bytes; 0 stands for no bound.
func New(limit int64) *Budget { return &Budget{limit: limit} }

// Take books n bytes more for a user who has own. Where they would be beyond the bound, nothing is booked, and the error
// wraps tree.ErrLimit when it is this user who takes too much, more than three quarters of all: it would be no better later.
// Else it wraps ErrUsedUp.
func (b *Budget) Take(own, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit <= 0 || n <= b.limit-b.used {
		b.used += n
		return nil
	}
	if own+n > b.limit/4*3 {
		return fmt.Errorf("%w: more than fits into work_bytes, %d bytes", tree.ErrLimit, b.limit)
	}
	return b.usedUp()
}

// TakeWhole is Take for what is as large as it is: a user who has all that is used may go beyond the bound. The error wraps
// ErrUsedUp.
func (b *Budget) TakeWhole(own, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && b.used > own && n > b.limit-b.used {
		return b.usedUp()
	}
	b.used += n
	return nil
}

func (b *Budget) usedUp() error {
	return fmt.Errorf("%w: images and downloads use the %d bytes of work_bytes", ErrUsedUp, b.limit)
}

// Give returns n bytes that were booked.
func (b *Budget) Give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// Used is how many bytes are booked.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
