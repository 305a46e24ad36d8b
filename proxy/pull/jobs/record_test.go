package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// An image of which processes died is tried again once, then not for a while. What ended otherwise does not count.
func TestImageThatKills(t *testing.T) {
	t.Parallel()
	src := numbered(1)
	key := digest.FromString(src.key()).Encoded()
	now := time.Unix(1_700_000_000, 0)
	for what, c := range map[string]struct {
		before *catalog.Attempt // that of another process
		result error
		died   bool
		tries  int // as they are recorded while the engine works
	}{
		"never tried":        {nil, nil, false, 1},
		"died once":          {&catalog.Attempt{StartedAt: now, Tries: 1}, nil, false, 2},
		"died twice":         {&catalog.Attempt{StartedAt: now, Tries: 2}, nil, true, 0},
		"died twice and ago": {&catalog.Attempt{StartedAt: now.Add(-deathPause), Tries: 2}, nil, false, 3},
		"died three times":   {&catalog.Attempt{StartedAt: now.Add(1 - deathPause), Tries: 3}, nil, true, 0},
		"passed through":     {nil, rechunk.ErrPassThrough, false, 1},
		"failed":             {nil, errors.New("damaged"), false, 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			kept := &attempts{recs: map[string]catalog.Attempt{}}
			if c.before != nil {
				kept.recs[key] = *c.before
			}
			asked := 0
			q, _ := newQueue(t, func(ctx context.Context, _ rechunk.Request) (*rechunk.Result, error) {
				asked++
				if a, err := kept.Get(ctx, key); err != nil || a == nil || a.Tries != c.tries || a.Source != src.digest {
					t.Errorf("recorded: %+v, %v", a, err)
				}
				return &rechunk.Result{}, c.result
			}, func(o *Options) { o.Attempts, o.Now = kept, func() time.Time { return now } })
			_, err := q.do(t.Context(), src)
			if c.died != errors.Is(err, ErrDied) || c.died != (asked == 0) || !c.died && !errors.Is(err, c.result) {
				t.Errorf("%v, asked %d times", err, asked)
			}
			if c.died != (len(kept.recs) == 1) {
				t.Errorf("left: %+v", kept.recs)
			}
		})
	}
}

// A process that ends while a job is at work leaves nothing that counts.
func TestEndOfProcessIsNoDeath(t *testing.T) {
	t.Parallel()
	kept := &attempts{recs: map[string]catalog.Attempt{}}
	began := make(chan struct{})
	q, work := newQueue(t, func(ctx context.Context, req rechunk.Request) (*rechunk.Result, error) {
		close(began)
		return untilStopped(ctx, req)
	}, func(o *Options) { o.Attempts = kept })
	j, err := q.start(t.Context(), numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	if len(kept.recs) != 1 {
		t.Errorf("recorded: %+v", kept.recs)
	}
	if err := work.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-j.done; !errors.Is(j.err, background.ErrClosed) || len(kept.recs) != 0 {
		t.Errorf("%v, left: %+v", j.err, kept.recs)
	}
}

// Another process that took the job over has the record.
func TestRecordOfAnotherStays(t *testing.T) {
	t.Parallel()
	kept := &attempts{recs: map[string]catalog.Attempt{}}
	key := digest.FromString(numbered(1).key()).Encoded()
	q, _ := newQueue(t, func(ctx context.Context, _ rechunk.Request) (*rechunk.Result, error) {
		return nil, errors.Join(errors.New("fenced"), kept.Put(ctx, key, &catalog.Attempt{Replica: "another", Tries: 2}))
	}, func(o *Options) { o.Attempts = kept })
	if _, err := q.do(t.Context(), numbered(1)); err == nil || kept.recs[key].Replica != "another" {
		t.Errorf("%v, left: %+v", err, kept.recs)
	}
}
