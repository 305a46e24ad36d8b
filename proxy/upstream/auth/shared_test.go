package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		calls, cancelled := 0, false
		fn := func(ctx context.Context) (int, error) {
			calls++
			select {
			case <-time.After(time.Minute):
				return calls, nil
			case <-ctx.Done():
				cancelled = true
				return 0, ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go func() {
				if _, _, err := s.do(ctx, fn); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if calls != 1 || !cancelled {
			t.Errorf("%d calls, cancelled %t: nobody waits any more", calls, cancelled)
		}
		if n, led, err := s.do(t.Context(), fn); n != 2 || !led || err != nil {
			t.Errorf("got %d, led %t, %v", n, led, err)
		}
	})
}
