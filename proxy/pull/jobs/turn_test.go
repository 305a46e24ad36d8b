package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// A host with many jobs does not keep another's from the next place, and one whose jobs are given up is not waited for.
func TestHostsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(1, 0)
		first, err := l.enter(t.Context(), "a")
		if err != nil || l.crowded() {
			t.Fatal(err)
		}
		var got []string
		next := make(chan struct{})
		wait := func(ctx context.Context, host string) {
			go func() {
				leave, err := l.enter(ctx, host)
				if err != nil {
					return
				}
				got = append(got, host)
				<-next
				leave()
			}()
			synctest.Wait()
		}
		left, giveUp := context.WithCancel(t.Context())
		for _, host := range []string{"a", "a", "a", "b", "b", "c"} {
			wait(t.Context(), host)
		}
		wait(left, "d")
		giveUp()
		synctest.Wait()
		first()
		for range 6 {
			synctest.Wait()
			next <- struct{}{}
		}
		synctest.Wait()
		if want := []string{"b", "c", "a", "b", "a", "a"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if l.crowded() || l.used != 0 || len(l.taken)+len(l.waiting) != 0 {
			t.Errorf("left: %+v", l)
		}
	})
}

// What one host may have at once does not bound the others.
func TestPlacesOfOneHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(3, 2)
		in := map[string]int{}
		for _, host := range []string{"a", "a", "a", "b", "b"} {
			go func() {
				if _, err := l.enter(t.Context(), host); err == nil {
					in[host]++
				}
			}()
			synctest.Wait()
		}
		if in["a"] != 2 || in["b"] != 1 {
			t.Errorf("let in: %v", in)
		}
	})
}

// reads is an engine that reads the layer of images that are told to.
func reads(slow digest.Digest) engine {
	return func(ctx context.Context, req rechunk.Request) (*rechunk.Result, error) {
		if req.Digest != slow {
			return &rechunk.Result{}, nil
		}
		rc, err := req.Source.Blob(ctx, someLayer)
		if err != nil {
			return nil, err
		}
		return &rechunk.Result{}, rc.Close()
	}
}

// A job whose bytes do not come gives its slot to one that waits, and goes on when they have come; alone it keeps it.
func TestSlotIsNotHeldForBytes(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprint("full ", full), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &blobs{kept: map[digest.Digest]bool{}, comes: make(chan struct{}), full: full}
				slow, good := of("bad.test/os/image", 1), of("good.test/os/image", 1)
				runs := 0
				e := reads(slow.digest)
				q, _ := newQueue(t, func(ctx context.Context, req rechunk.Request) (*rechunk.Result, error) {
					if req.Digest == slow.digest {
						runs++
					}
					return e(ctx, req)
				}, func(o *Options) { o.Blobs = b })
				j, err := q.start(t.Context(), slow)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(10 * grace)
				if runs != 1 {
					t.Errorf("%d runs while nobody waits", runs)
				}
				patience, stop := context.WithTimeout(t.Context(), time.Hour)
				defer stop()
				if _, err := q.do(patience, good); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				// What cannot be stored has to be read on its way, now or never: its place is its own then.
				next, err := q.start(t.Context(), of("good.test/os/image", 2))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * grace)
				select {
				case <-next.done:
					if full {
						t.Error("the slot is free")
					}
				default:
					if !full {
						t.Error("the slot is held")
					}
				}
				select {
				case <-j.done:
					t.Errorf("the slow one ended: %v", j.err)
				default:
				}
				close(b.comes)
				if <-j.done; j.err != nil || runs != 2 {
					t.Errorf("the slow one: %v, %d runs", j.err, runs)
				}
			})
		})
	}
}

// Images that are on their way without a slot are bounded for each host, and have a deadline.
func TestFetchesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &blobs{kept: map[digest.Digest]bool{}, comes: make(chan struct{})}
		q, _ := newQueue(t, func(ctx context.Context, req rechunk.Request) (*rechunk.Result, error) {
			return reads(req.Digest)(ctx, req)
		}, func(o *Options) { o.Blobs, o.Deadline = b, rechunk.DefaultDeadline() })
		var all []*job
		for i := range 8 {
			j, err := q.start(t.Context(), of("bad.test/os/image", i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, j)
		}
		time.Sleep(20 * grace)
		q.fetches.mu.Lock()
		if n := q.fetches.taken["bad.test"]; n != maxHostFetches {
			t.Errorf("%d at once", n)
		}
		q.fetches.mu.Unlock()
		failed := 0
		time.Sleep(q.Deadline.Base * 2)
		for _, j := range all {
			select {
			case <-j.done:
				if !errors.Is(j.err, rechunk.ErrDeadline) {
					t.Error(j.err)
				}
				failed++
			default:
			}
		}
		if failed == 0 {
			t.Error("no deadline")
		}
	})
}

// Jobs that wait have not asked for their manifests.
func TestWaitingJobsHoldNoManifests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &manifests{}
		q, _ := newQueue(t, untilStopped, func(o *Options) { o.Manifests = m })
		for i := range 5 {
			if _, err := q.start(t.Context(), numbered(i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := m.asked.Load(); n != 1 {
			t.Errorf("%d manifests for one job that runs", n)
		}
	})
}
