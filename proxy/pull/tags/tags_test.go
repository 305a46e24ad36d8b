package tags

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackOffIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	before := &catalog.Tag{Failure: &catalog.Failure{Source: "x", Tries: 1 << 40}}
	f := newFailure("x", before, now, http.ErrAbortHandler)
	if got := f.RetryAt.Sub(now); got != lastRetry {
		t.Errorf("next try in %s, want %s", got, lastRetry)
	}
}

func TestNoUpdateAfterStop(t *testing.T) {
	t.Parallel()
	work := background.New(background.Options{})
	tags := New(Options{Work: work, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err := work.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := tags.startUpdate(t.Context(), name.Repository{}, "stable", config.Rule{}, client.Descriptor{},
		nil); !errors.Is(err,
		background.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if len(tags.updates) != 0 {
		t.Errorf("%d updates", len(tags.updates))
	}
}

// What is remembered of many hosts is bounded, and the newest are not forgotten.
func TestOutagesAreBounded(t *testing.T) {
	t.Parallel()
	o, now := newOutages(), time.Unix(1_700_000_000, 0)
	for i := range 2 * maxOutages {
		o.note(now, "host", fmt.Sprint(i), &upstream.Error{Kind: upstream.Protocol, Status: 500})
	}
	if n := o.seen.Len(); n != maxOutages {
		t.Errorf("%d outages", n)
	}
	for _, i := range []int{2*maxOutages - 1, maxOutages} {
		if o.recall(now, "host", fmt.Sprint(i), true) == nil {
			t.Errorf("outage %d is forgotten", i)
		}
	}
}

// That a tag is not there is an answer, and no failure of the upstream's. What ends a client's request is told there.
func TestAskedLevel(t *testing.T) {
	t.Parallel()
	missing := fmt.Errorf("asking: %w", &upstream.Error{Kind: upstream.NotFound, Status: 404})
	for _, c := range []struct {
		err   error
		known bool
		want  slog.Level
	}{
		{missing, false, slog.LevelDebug},
		{missing, true, slog.LevelInfo},
		{&upstream.Error{Kind: upstream.Unavailable, Err: upstream.ErrHeld}, true, slog.LevelDebug},
		{&upstream.Error{Kind: upstream.Unavailable}, false, slog.LevelDebug},
		{&upstream.Error{Kind: upstream.Unavailable}, true, slog.LevelWarn},
		{&upstream.Error{Kind: upstream.Denied}, true, slog.LevelWarn},
		{errors.New("other"), true, slog.LevelWarn},
	} {
		if got := askedLevel(c.err, c.known); got != c.want {
			t.Errorf("%v, known %t: %s, want %s", c.err, c.known, got, c.want)
		}
	}
}
