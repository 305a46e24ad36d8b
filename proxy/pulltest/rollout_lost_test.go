package pulltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/pull/tags"
)

var rolledTag = catalog.TagKey{Repository: rolledRepo.String(), Tag: "stable"}

// half is a world in which half of all hosts get version 2, and those of the first hundred that asked: 20.
func half(t *testing.T) (w *world, r *tags.Tags, got map[int]int64) {
	t.Helper()
	w = newWorld(t, config.Rollout{Steps: parsed(t, "50% at 0h", "100% at 10h")})
	r = w.replica(0)
	t.Cleanup(func() { _ = r.Work.Close(context.Background()) })
	w.gets(t, r, 0)
	w.newest.Store(2)
	time.Sleep(time.Minute)
	got = map[int]int64{}
	for i := range 20 {
		got[i], _ = w.gets(t, r, i)
	}
	return w, r, got
}

// gets returns the version that a host gets, and what it is told.
func (w *world) gets(t *testing.T, r *tags.Tags, host int) (version int64, said string) {
	t.Helper()
	m, err := r.Resolve(asUser(t.Context(), host), rolledRepo, "stable")
	if err != nil {
		t.Fatal(err)
	}
	return w.number(m.Digest), m.Rollout
}

// When a roll-out's record is lost, or damaged, nobody gets the newest version who had not got it, and an operator has it go
// on. When the tag's record is lost, nothing changes.
func TestLostRollout(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(ctx context.Context, w *world) error{
		"lost": func(ctx context.Context, w *world) error {
			return w.store.DeleteRecord(ctx, "rollout", rolledTag.String())
		},
		"damaged": func(ctx context.Context, w *world) error {
			return w.store.PutRecord(ctx, "rollout", rolledTag.String(), []byte(`{"versions":[`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, r, had := half(t)
				if err := lose(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				for i := range 200 {
					n, said := w.gets(t, r, i)
					if want := max(had[i], 1); n != want {
						t.Fatalf("host %d gets version %d, and not %d", i, n, want)
					}
					if n == 1 && !strings.HasPrefix(said, "held; stable since ") {
						t.Errorf("host %d hears %q", i, said)
					}
				}
				if _, err := r.GoOn(t.Context(), rolledRepo, "stable", "alice", true); err != nil {
					t.Fatal(err)
				}
				if n, _ := w.gets(t, r, 150); n != 2 {
					t.Errorf("version %d after a release", n)
				}
			})
		})
	}
}

func TestLostTagOfRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r, had := half(t)
		if _, err := r.Hold(t.Context(), rolledRepo, "stable", "alice", ""); err != nil {
			t.Fatal(err)
		}
		w.rule.Store(&config.Rollout{}) // held by hand alone
		if err := w.store.DeleteRecord(t.Context(), "tag", rolledTag.String()); err != nil {
			t.Fatal(err)
		}
		w.newest.Store(3)
		time.Sleep(time.Hour)
		for i := range 100 {
			if n, _ := w.gets(t, r, i); n != max(had[i], 1) {
				t.Fatalf("host %d gets version %d, and had %d", i, n, had[i])
			}
		}
	})
}

// The hosts of a version are forgotten once all get it, or nobody, and a rollback of one that was lost is none.
func TestReachedIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r, _ := half(t)
		count := func() (n int) {
			t.Helper()
			err := catalog.New(w.store, nil).Reached.List(t.Context(), catalog.ReachedOf(rolledTag),
				func(catalog.ReachedKey, time.Time) error { n++; return nil })
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if count() == 0 {
			t.Fatal("nothing is noted")
		}
		if _, err := r.Rollback(t.Context(), rolledRepo, "stable", "alice", ""); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != 0 {
			t.Errorf("%d records of what was withdrawn", n)
		}
		w.newest.Store(3)
		time.Sleep(time.Minute)
		for i := range 20 {
			w.gets(t, r, i)
		}
		if count() == 0 {
			t.Error("nothing is noted of the next version")
		}
		time.Sleep(11 * time.Hour)
		if w.gets(t, r, 0); count() != 0 {
			t.Errorf("%d records of what all have", count())
		}
	})
}

// A host whose version has to be made again waits, and gets the original of that version, never that of a newer one.
func TestRolledOutOriginal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r, had := half(t)
		w.slow.Store(int64(1000 * time.Hour)) // longer than all who wait
		w.torn.Store(true)
		time.Sleep(time.Minute)
		for i := range 20 {
			m, err := r.Resolve(asUser(t.Context(), i), rolledRepo, "stable")
			if err != nil {
				t.Fatal(err)
			}
			if m.Source != sourceOf(had[i]) {
				t.Errorf("host %d gets %s, and had version %d", i, m.Source, had[i])
			}
		}
	})
}

// A rule that goes ends the roll-out, and the log says why.
func TestRuleTakenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r, _ := half(t)
		w.rule.Store(&config.Rollout{})
		for i := range 100 {
			if n, _ := w.gets(t, r, i); n != 2 {
				t.Fatalf("host %d gets version %d", i, n)
			}
		}
		record, err := catalog.New(w.store, nil).Rollouts.Get(t.Context(), rolledTag)
		if err != nil {
			t.Fatal(err)
		}
		if last := record.Log[len(record.Log)-1]; last.Note != "100% of hosts: no rule has steps for it any longer" {
			t.Errorf("%+v", last)
		}
	})
}

var errTorn = errors.New("it is gone")

func (w *world) tornFrom(d digest.Digest) bool {
	return w.torn.Load() && w.number(d) > 0
}
