package via_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/delta"
)

// away is a store whose layers cannot be read for a while.
type away struct {
	seed.Layers
	err error
}

func (a *away) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Layers.Open(ctx, d)
}

// What this machine can't do for now says nothing of a pair: it is tried again soon.
func TestLocalFailuresPass(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	for _, tc := range []struct {
		err  error
		want via.Reason
	}{
		{syscall.ENOSPC, via.Space}, {syscall.EMFILE, via.Local}, {errors.New("the storage is away"), via.Local},
	} {
		layers := &away{err: tc.err}
		e := newEdge(t, func(o *via.Options) {
			layers.Layers = o.Store.Layers
			o.Store = seed.NewStore(seed.StoreOptions{Layers: layers, Dir: t.TempDir()})
			t.Cleanup(o.Store.Close)
		}, before, after)
		e.keep(t, repo, before)
		if r := e.pulled(t, after); r.Reasons[string(tc.want)] != 1 {
			t.Errorf("%v: %+v", tc.err, r)
		}
		layers.err = nil
		e.clock = e.clock.Add(10 * time.Minute)
		if r := e.pulled(t, after); r.Deltas != 1 {
			t.Errorf("%v, ten minutes later: %+v", tc.err, r)
		}
	}
}

// A central that dies in the middle of a delta, and with it the layer, says nothing of the pair: at the next try the layer
// comes as a delta.
func TestCentralDies(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	dead := upstream.Errorf(upstream.Unavailable, "connection refused")
	e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
		begun := e.central.make(before, after)[:500]
		return client.Delta{Body: io.NopCloser(io.MultiReader(bytes.NewReader(begun), broken{dead})), Seed: q.Seeds[0]}, nil
	}
	e.central.gone = dead
	if _, err := e.pull(t, after); !errors.Is(err, dead) {
		t.Errorf("the pull ended with %v", err)
	}
	e.central.answer, e.central.gone = nil, nil
	if r := e.pulled(t, after); r.Deltas != 1 {
		t.Errorf("%+v", r)
	}
	// So it is with one that cannot even be asked what it makes.
	e = newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	e.central.away, e.central.gone = dead, dead
	if _, err := e.pull(t, after); !errors.Is(err, dead) {
		t.Errorf("the pull ended with %v", err)
	}
	e.central.away, e.central.gone = nil, nil
	if r := e.pulled(t, after); r.Deltas != 1 {
		t.Errorf("%+v", r)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// A central that does not answer is not waited for much longer than it was asked to wait.
func TestSilentCentral(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	e.central.silent, e.settings.Wait = true, 0
	if r := e.pulled(t, after); r.Reasons[string(via.Wait)] != 1 {
		t.Errorf("%+v", r)
	}
}

// Who leaves while a central is asked what it makes need not wait for the answer; and the others get it.
func TestLeavesWhileAsking(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
		t.Fatal(err)
	}
	e.central.answers = make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		body, _, err := e.Blob(ctx, repo, after.layer(), -1)
		if err == nil {
			err = body.Close()
		}
		left <- err
	}()
	<-e.central.answers // it is being asked
	leave()
	<-left
	close(e.central.answers)
	if r := e.pulled(t, after); r.Deltas != 1 {
		t.Errorf("%+v", r)
	}
}

// What a central says of itself is not written into the log at any length.
func TestFormatsInLog(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	var log bytes.Buffer
	e := newEdge(t, func(o *via.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, before, after)
	e.central.formats = strings.Repeat("9", 100_000)
	e.keep(t, repo, before)
	e.pulled(t, after)
	if n := log.Len(); n == 0 || n > 4096 {
		t.Errorf("%d bytes are in the log", n)
	}
}

// What a central is, is said when it changes, and not with each question: that it makes no deltas, that it does now, and
// that it does not any more. That it is away changes nothing of that: what is said of it then, its connection says.
func TestSaidOnce(t *testing.T) {
	t.Parallel()
	all := several(t, 2)
	var log bytes.Buffer
	e := newEdge(t, func(o *via.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}, all...)
	e.keep(t, repo, all[0])
	for _, step := range []struct {
		what, formats string
		away          error
		want          []string
	}{
		{"no Strata", "", nil, []string{"makes no deltas"}},
		{"away", "", upstream.Errorf(upstream.Unavailable, "away"), nil},
		{"no Strata, back", "", nil, nil},
		{"a newer one", "98", nil, nil},
		{"a Strata", delta.Version, nil, []string{"makes deltas now"}},
		{"a Strata, away", delta.Version, upstream.Errorf(upstream.Unavailable, "away"), nil},
		{"a Strata, back", delta.Version, nil, nil},
		{"an older one", "1", nil, []string{"makes no deltas"}},
	} {
		e.central.formats, e.central.away = step.formats, step.away
		for range 3 { // what is known is asked for anew
			e.clock = e.clock.Add(time.Hour)
			log.Reset()
			e.pulled(t, all[1])
			var said []string
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "the upstream makes") {
					said = append(said, line)
				}
			}
			if len(said) != len(step.want) || len(said) == 1 && !strings.Contains(said[0], step.want[0]) {
				t.Errorf("%s: said %q, want %q", step.what, said, step.want)
			}
			step.want = nil
		}
	}
}

// What is no Strata knows no image by the name that a Strata has for it. That is said once, with the key that leads there,
// and in the report.
func TestViaLeadsToNoStrata(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := newEdge(t, func(o *via.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	e.central.formats = ""
	for range 3 {
		if _, err := e.Manifest(t.Context(), repo, "none"); !upstream.Is(err, upstream.NotFound) {
			t.Fatal(err)
		}
		for len(e.Report().Centrals) == 0 || e.Report().Centrals[0].Unknown != "" {
			if t.Context().Err() != nil {
				t.Fatal("it was not asked")
			}
			time.Sleep(time.Millisecond)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 ||
		!strings.Contains(log.String(), "let upstreams."+repo.Host()+".via be the address") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	if r := e.Report().Centrals; len(r) != 1 || r[0].Makes {
		t.Errorf("%+v", r)
	}
}
