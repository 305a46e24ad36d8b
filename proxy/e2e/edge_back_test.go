package e2e

import "testing"

// A region between a central and a site is killed, or ends in order, while the site pulls: the site's next try gives the
// image, and nothing half is stored anywhere.
func TestEdgeChainRestarts(t *testing.T) {
	t.Parallel()
	from := newBefore(t)
	for how, end := range map[string]func(*proxy){
		"killed": func(p *proxy) { p.Kill() }, "ended": func(p *proxy) { p.Terminate(); p.Wait() },
	} {
		t.Run(how, func(t *testing.T) {
			central := newProxy(t, from.upstream, proxyOptions{dir: copied(t, from.central)})
			region := newProxy(t, nil, proxyOptions{dir: copied(t, from.edge), via: central.Clients, top: patient})
			w := newWire(t, region.Clients)
			site := newProxy(t, nil, proxyOptions{dir: copied(t, from.edge), via: w.address, top: patient})
			done := make(chan error, 1)
			go func() {
				_, err := pullThrough(t.Context(), t, site.image("os/image:v2"))
				done <- err
			}()
			until(t, "some bytes", func() bool { return w.bytes.Load() > 500_000 || len(done) > 0 })
			end(region)
			t.Logf("%d bytes came to the site: %v", w.bytes.Load(), <-done)
			region.start()
			checkNoLeftovers(t, region)
			w.to.Store(region.Clients)
			pulled(t, central, site, "v2")
			for _, p := range []*proxy{central, region, site} {
				checkBlobs(t, p)
			}
		})
	}
}

// While the central is away what is not at the edge cannot be pulled, however often it is tried. The first try after it is
// back gives it.
func TestEdgeCentralBack(t *testing.T) {
	t.Parallel()
	central := newProxy(t, pushSeries(t, firmware(t)), proxyOptions{})
	w := newWire(t, central.Clients)
	edge := newProxy(t, nil, proxyOptions{via: w.address, top: patient})
	pulled(t, central, edge, "v1")
	central.Kill()
	for range 8 { // more than it takes for the central to be taken for dead
		for _, tag := range []string{"v2", "v3"} {
			if _, err := pullThrough(t.Context(), t, edge.image("os/image:"+tag)); err == nil {
				t.Fatalf("%s came from nowhere", tag)
			}
		}
	}
	central.start()
	w.to.Store(central.Clients)
	for _, tag := range []string{"v2", "v3"} {
		pulled(t, central, edge, tag)
	}
}
