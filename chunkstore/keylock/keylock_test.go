package keylock

import (
	"fmt"
	"sync"
	"testing"
)

func TestLock(t *testing.T) {
	t.Parallel()
	var l Locks
	counts := make([]int, 10)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			n := i % len(counts)
			defer l.Lock(fmt.Sprint(n))()
			counts[n]++ // the race detector sees a lock that does not hold
		})
	}
	wg.Wait()
	for n, count := range counts {
		if count != 100 {
			t.Errorf("%d was counted %d times", n, count)
		}
	}
	if len(l.locks) > 0 {
		t.Errorf("%d locks are left that nobody uses", len(l.locks))
	}
}

// Whoever holds many names keeps nobody from another.
func TestNamesAreIndependent(t *testing.T) {
	t.Parallel()
	var l Locks
	for i := range 1000 {
		defer l.Lock(fmt.Sprint(i))()
	}
	l.Lock("another")()
}
