package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// crowd asks for one delta over many connections at once.
type crowd struct {
	url string

	mu      sync.Mutex
	deltas  map[digest.Digest]int // what came, and how often
	bytes   int64                 // of one
	growing int                   // came while they were made
}

// ask asks over a connection of its own until the delta comes.
func (c *crowd) ask(ctx context.Context) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Prefer", "wait=60")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		sum := digest.Canonical.Digester()
		n, err := io.Copy(sum.Hash(), resp.Body)
		_ = resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusAccepted:
			continue
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("%s %v", resp.Status, resp.Header)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deltas[sum.Digest()]++
		c.bytes = n
		if resp.ContentLength < 0 {
			c.growing++
		}
		return nil
	}
}

// Two hundred edges ask for one delta of megabytes at once: it is made once, all get the same while it is made, and it is
// not held in memory for each.
func TestManyEdges(t *testing.T) {
	t.Parallel()
	const many, most = 200, 128 << 20
	from := newBefore(t)
	peaks := map[int]int64{}
	for _, n := range []int{1, many} {
		central := newProxy(t, from.upstream, proxyOptions{dir: copied(t, from.central)})
		d := digests(t, central, "v1")
		had := manifest(t, central.image("os/image:v1"))
		var layer ocispec.Descriptor // the largest that is new
		for _, l := range manifest(t, central.image("os/image:v2")).Layers {
			has := func(h ocispec.Descriptor) bool { return h.Digest == l.Digest }
			if !slices.ContainsFunc(had.Layers, has) && l.Size > layer.Size {
				layer = l
			}
		}
		c := &crowd{deltas: map[digest.Digest]int{}, url: fmt.Sprintf(
			"http://%s/strata/v1/delta?repository=%s/os/image&layer=%s&seed=%s", central.Clients, upstreamHost, layer.Digest,
			d[0])}
		var g errgroup.Group
		for range n {
			g.Go(func() error { return c.ask(t.Context()) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		until(t, "the delta is stored", func() bool { return central.Metric("strata_deltas_made_total") > 0 })
		if made := central.Metric("strata_deltas_made_total"); len(c.deltas) != 1 || made != 1 {
			t.Errorf("there are %d different deltas, %v were made", len(c.deltas), made)
		}
		peaks[n] = central.PeakMemory()
		t.Logf("%d edges, %d of them while it was made: %d bytes each, peak %d MiB", n, c.growing, c.bytes, peaks[n]>>20)
		if n == many && (c.growing == 0 || c.bytes < most/many*4) {
			t.Errorf("%d got what was being made, of %d bytes", c.growing, c.bytes)
		}
		central.Terminate()
		central.Wait()
	}
	if more := peaks[many] - peaks[1]; more > most {
		t.Errorf("%d edges take %d MiB more than one", many, more>>20)
	}
}
