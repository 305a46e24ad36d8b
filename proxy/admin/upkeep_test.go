package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/upkeep"
)

// failingKeeper is a Keeper whose work fails, before there is progress or after.
type failingKeeper struct {
	Keeper
	err   error
	after bool
}

func (f failingKeeper) fail(p upkeep.Progress) error {
	if f.after {
		p("mark", 1, 2)
	}
	return f.err
}

func (f failingKeeper) GC(_ context.Context, o upkeep.GCOptions) (upkeep.GCReport, error) {
	return upkeep.GCReport{}, f.fail(o.Progress)
}

func (f failingKeeper) Scrub(_ context.Context, o upkeep.ScrubOptions) (upkeep.ScrubReport, error) {
	return upkeep.ScrubReport{}, f.fail(o.Progress)
}

func (f failingKeeper) Prune(_ context.Context, o upkeep.PruneOptions) (upkeep.PruneReport, error) {
	return upkeep.PruneReport{}, f.fail(o.Progress)
}

// What fails before it begins has a status that says whose fault it is, and only the proxy's own are logged; what fails
// later says so in its last line. The client tells both alike.
func TestUpkeepFails(t *testing.T) {
	t.Parallel()
	unknown := fmt.Errorf("a/b: %w", upkeep.ErrUnknownName)
	for _, c := range []struct {
		name   string
		keeper failingKeeper
		status int
		is     error
		logged string
	}{
		{"unknown", failingKeeper{err: unknown}, http.StatusNotFound, operate.ErrNotFound, ""},
		{"rolled out", failingKeeper{err: upkeep.ErrRolledOut}, http.StatusConflict, nil, ""},
		{"busy", failingKeeper{err: fmt.Errorf("gc: %w", upkeep.ErrBusy)}, http.StatusConflict, upkeep.ErrBusy, ""},
		{"broken", failingKeeper{err: errors.New("no disk")}, http.StatusInternalServerError, nil, "level=ERROR"},
		{"broken later", failingKeeper{err: errors.New("no disk"), after: true}, http.StatusOK, nil, "level=WARN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			h, s := serve(t, Options{Keeper: c.keeper, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			client := NewClient(s.URL, s.Client())
			works := 0
			for path, work := range map[string]func() error{
				"/api/v1/gc":    func() error { _, err := client.GC(t.Context(), upkeep.GCOptions{}); return err },
				"/api/v1/scrub": func() error { _, err := client.Scrub(t.Context(), upkeep.ScrubOptions{}); return err },
				"/api/v1/prune": func() error {
					_, err := client.Prune(t.Context(), upkeep.PruneOptions{Name: "a"})
					return err
				},
			} {
				works++
				err := work()
				if err == nil || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%s: %v", path, err)
				}
				var answer *APIError
				if c.status >= 300 && c.is != upkeep.ErrBusy && (!errors.As(err, &answer) || answer.StatusCode != c.status) {
					t.Errorf("%s: %v, want status %d", path, err, c.status)
				}
			}
			h.Close()
			if n := strings.Count(log.String(), "level="); c.logged == "" && n > 0 ||
				c.logged != "" && (n != works || strings.Count(log.String(), c.logged) != n) {
				t.Errorf("the log has %d lines:\n%s", n, log.String())
			}
		})
	}
}

// What a scrub cannot do is the client's fault.
func TestScrubOfNothing(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{Keeper: failingKeeper{}})
	_, err := NewClient(s.URL, s.Client()).Scrub(t.Context(), upkeep.ScrubOptions{Rate: -1})
	var answer *APIError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusBadRequest {
		t.Error(err)
	}
}
