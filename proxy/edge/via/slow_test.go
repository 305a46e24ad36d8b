package via_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// dripping is a delta that brings few bytes at a time, each after a while of the edge's clock.
type dripping struct {
	io.Reader
	each  int
	while func()
}

// Read implements io.Reader.
func (d dripping) Read(p []byte) (int, error) {
	d.while()
	return d.Reader.Read(p[:min(len(p), d.each)])
}

// tickingEdge is an edge whose clock may be moved by others.
func tickingEdge(t *testing.T, images ...picture) (*edge, func(time.Duration)) {
	var mu sync.Mutex
	at := time.Unix(1_800_000_000, 0)
	e := newEdge(t, func(o *via.Options) {
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return at
		}
	}, images...)
	return e, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(d)
	}
}

// several are images that differ in some bytes, the first of which an edge has.
func several(t *testing.T, n int) []picture {
	t.Helper()
	all := make([]picture, n)
	for i := range all {
		body := noise(7, 400<<10)
		all[i] = paint(t, File("usr/lib", body[:90_000]+fmt.Sprint("new ", i)+body[90_000:]))
	}
	return all
}

// A central that drips holds a pull no longer than twice the time of the layer, and its word for it holds for other layers:
// they are fetched whole, until one finds out that it is better. The pull goes on from where it stands.
func TestDrips(t *testing.T) {
	t.Parallel()
	all := several(t, 3)
	before, after := all[0], all[1]
	for name, begun := range map[string]int{"from the first byte": 1, "in the middle": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, tick := tickingEdge(t, all...)
			e.settings.Wait = 20 * time.Second
			e.keep(t, repo, before)
			waited, b := 0, e.central.make(before, after)
			e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
				begun := min(begun, len(b)/2)
				slowly := dripping{bytes.NewReader(b[begun:]), 1, func() { waited++; tick(time.Second) }}
				return client.Delta{Seed: q.Seeds[0], Size: int64(len(b)), Body: io.NopCloser(
					io.MultiReader(bytes.NewReader(b[:begun]), slowly))}, nil
			}
			if r := e.pulled(t, after); r.Reasons[string(via.Slow)] != 1 || waited > 60 {
				t.Errorf("waited %d s: %+v", waited, r)
			}
			e.central.answer = nil
			r := e.pulled(t, all[2])
			if r.Reasons[string(via.Slow)] != 2 || len(e.central.asked) != 1 || r.Centrals[0].Slow == nil {
				t.Errorf("another layer: %+v", r)
			}
			tick(10 * time.Minute)
			if r := e.pulled(t, after); r.Deltas != 1 || r.Centrals[0].Slow != nil {
				t.Errorf("later: %+v", r)
			}
		})
	}
}

// Bytes that come slowly over a link that is slow are worth the wait: the layer would come no sooner.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	for name, tc := range map[string]struct {
		fewest bool
		rate   int // bytes per second
	}{"time": {false, 4 << 10}, "bytes": {true, 1 << 10}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, tick := tickingEdge(t, before, after)
			e.settings.Wait, e.settings.FewestBytes = 20*time.Second, tc.fewest
			e.keep(t, repo, before)
			b := e.central.make(before, after)
			e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
				return client.Delta{Seed: q.Seeds[0], Size: int64(len(b)),
					Body: io.NopCloser(dripping{bytes.NewReader(b), tc.rate, func() { tick(time.Second) }})}, nil
			}
			if r := e.pulled(t, after); r.Deltas != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A central that says nothing costs one wait, and not one for each layer, whether they are asked for one after the other or
// at once.
func TestSilenceCostsOnce(t *testing.T) {
	t.Parallel()
	all := several(t, 8)
	for name, asks := range map[string]func(c *theCentral){
		"no answer": func(c *theCentral) { c.silent = true },
		"a silent beginning": func(c *theCentral) {
			c.answer = func(q client.DeltaRequest) (client.Delta, error) {
				stalled := fmt.Errorf("%w: nothing came", upstream.ErrStalled)
				return client.Delta{Body: io.NopCloser(broken{stalled}), Seed: q.Seeds[0], Size: -1}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, nil, all...)
			e.keep(t, repo, all[0])
			e.settings.Wait = 0
			asks(e.central)
			for _, p := range all[1:6] {
				e.pulled(t, p)
			}
			if len(e.central.asked) != 1 {
				t.Errorf("asked %d times: %+v", len(e.central.asked), e.Report())
			}
			// The one that tries again finds it as bad, and the pause is longer.
			e.clock = e.clock.Add(70 * time.Second)
			e.pulled(t, all[6])
			e.clock = e.clock.Add(70 * time.Second)
			e.pulled(t, all[7])
			if n := len(e.central.asked); n != 2 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// Layers that wait for others to be made are spared the wait when these turn out to wait in vain.
func TestSilenceFreesTheLine(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	e.settings.Wait = time.Hour
	if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
		t.Fatal(err)
	}
	asked, silent := make(chan struct{}, 5), make(chan struct{})
	e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
		asked <- struct{}{}
		<-silent
		return client.Delta{}, fmt.Errorf("%w: nothing came", upstream.ErrStalled)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			body, _, err := e.Blob(context.WithoutCancel(t.Context()), repo, after.layer(), -1)
			if err != nil {
				t.Error(err)
				return
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if err != nil || digest.FromBytes(got) != after.layer() {
				t.Error(err)
			}
		})
	}
	<-asked
	<-asked
	close(silent)
	wg.Wait()
	if n := len(e.central.asked); n != 2 {
		t.Errorf("asked %d times: %+v", n, e.Report())
	}
}

// Metrics know each reason by its name.
func TestReasonsAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := metrics.New(reg)
	for _, r := range via.Reasons() {
		m.EdgeWhole(string(r))
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range all {
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				if f.GetName() == "strata_edge_layers_total" && metric.GetCounter().GetValue() > 0 {
					seen[l.GetValue()] = true
				}
			}
		}
	}
	for _, r := range via.Reasons() {
		if !seen[string(r)] {
			t.Errorf("%s is counted as something else: %v", r, seen)
		}
	}
}

// until is a body of which nothing more comes before a context ends.
type until struct{ context.Context }

// Read implements io.Reader.
func (u until) Read([]byte) (int, error) {
	<-u.Done()
	return 0, context.Cause(u)
}

// A layer that is not made in the time in which it would have come as it is comes as it is, from where it stands, whatever
// keeps it: this machine, if not the central, whose fault it is not then.
func TestMadeTooSlowly(t *testing.T) {
	t.Parallel()
	all := several(t, 3)
	before, after := all[0], all[1]
	for name, begun := range map[string]int{"before its first byte": 0, "in the middle": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t, func(o *via.Options) { o.Now = time.Now }, all...)
				e.settings.Wait = 20 * time.Second
				e.keep(t, repo, before)
				b := e.central.make(before, after)
				e.central.hang = func(ctx context.Context) io.Reader {
					return io.MultiReader(bytes.NewReader(b[:min(begun, len(b)/2)]), until{ctx})
				}
				began := time.Now()
				r := e.pulled(t, after)
				if took := time.Since(began); r.Reasons[string(via.Slow)] != 1 || took < time.Minute ||
					took > 65*time.Second {
					t.Errorf("after %s: %+v", took, r)
				}
				e.central.hang = nil
				if r := e.pulled(t, all[2]); r.Deltas != 1 || r.Centrals[0].Slow != nil {
					t.Errorf("another layer: %+v", r)
				}
			})
		})
	}
}

// A central that is never done costs less than two waits, and not one for each layer, whether they are asked for one after
// the other or at once. It is asked still: what is there comes, and is waited for as ever from then on, as after a while.
func TestNeverDone(t *testing.T) {
	t.Parallel()
	const wait, n = 20 * time.Second, 8
	for name, atOnce := range map[string]bool{"one after the other": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				all := several(t, n+4)
				e := newEdge(t, func(o *via.Options) { o.Now, o.Parallel = time.Now, n }, all...)
				e.settings.Wait = wait
				e.keep(t, repo, all[0])
				busy := func(q client.DeltaRequest) (client.Delta, error) {
					time.Sleep(q.Wait)
					return client.Delta{RetryAfter: 15 * time.Second}, nil
				}
				took := func(pictures ...picture) time.Duration {
					began := time.Now()
					var wg sync.WaitGroup
					for _, p := range pictures {
						if pull := func() { e.pulled(t, p) }; atOnce {
							wg.Go(pull)
						} else {
							pull()
						}
					}
					wg.Wait()
					return time.Since(began)
				}
				e.central.answer = busy
				if d := took(all[1:n]...); d < wait || d > 2*wait {
					t.Errorf("%d layers waited for %s", n-1, d)
				}
				if r := e.Report(); r.Reasons[string(via.Wait)] != n-1 || len(e.central.asked) != n-1 {
					t.Errorf("%+v, asked %d times", r, len(e.central.asked))
				}
				if d := took(all[n]); d >= wait {
					t.Errorf("one more waited for %s", d)
				}
				e.central.answer = nil
				if took(all[n+1]); e.Report().Deltas != 1 {
					t.Errorf("what is there: %+v", e.Report())
				}
				e.central.answer = busy
				if d := took(all[n+2]); d != wait {
					t.Errorf("after a delta came, waited for %s", d)
				}
				time.Sleep(16 * time.Minute)
				if d := took(all[n+3]); d != wait {
					t.Errorf("later, waited for %s", d)
				}
			})
		})
	}
}
