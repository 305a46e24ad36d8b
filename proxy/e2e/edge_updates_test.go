package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/operate"
)

// updateOf asks a proxy's operators' API what an update of os/image brings.
func updateOf(tb testing.TB, p *proxy, from, to string, more url.Values) (status int, text string) {
	tb.Helper()
	query := url.Values{"from": {upstreamHost + "/os/image:" + from}, "to": {upstreamHost + "/os/image:" + to}}
	for k, v := range more {
		query[k] = v
	}
	resp, err := http.Get("http://" + p.Operators + "/api/v1/updates?" + query.Encode())
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// What an update costs is known before it is fetched: an estimate while there is no delta of it, its layers at first, and
// what the deltas take when they are made. What is in it can be asked for with that.
func TestEdgeUpdates(t *testing.T) {
	t.Parallel()
	central := newProxy(t, pushSeries(t, firmware(t)), proxyOptions{})
	digests(t, central, "v1", "v2", "v3")
	costs := func(from, to string) operate.Update {
		t.Helper()
		var u operate.Update
		status, text := updateOf(t, central, from, to, nil)
		if err := json.Unmarshal([]byte(text), &u); status != http.StatusOK || err != nil {
			t.Fatalf("%s to %s: %d %s", from, to, status, text)
		}
		return u
	}
	update := layersSize(manifest(t, central.image("os/image:v2")), manifest(t, central.image("os/image:v1")))
	if u := costs("v1", "v2"); !u.Estimated || u.LayerBytes != update || u.DeltaBytes != update || u.Contents != nil {
		t.Errorf("before a delta was made: %+v, %d bytes are in new layers", u.Deltas, update)
	}
	w := newWire(t, central.Clients)
	edge := newProxy(t, nil, proxyOptions{via: w.address, top: patient})
	pulled(t, central, edge, "v1")
	before := w.bytes.Load()
	pulled(t, central, edge, "v2")
	took := w.bytes.Load() - before
	until(t, "the delta is stored", func() bool { return central.Metric("strata_deltas_made_total") > 0 })
	// On the wire there are documents and headers beside it.
	if u := costs("v1", "v2"); u.Estimated || u.DeltaBytes <= 0 || u.DeltaBytes >= took || u.LayerBytes != update {
		t.Errorf("when it was made: %+v, %d bytes came over the wire", u.Deltas, took)
	}
	// Another update is taken to be like those that are known.
	if u := costs("v2", "v3"); !u.Estimated || u.DeltaBytes >= u.LayerBytes/2 || u.DeltaBytes <= 0 {
		t.Errorf("another one: %+v", u.Deltas)
	}
	status, text := updateOf(t, central, "v1", "v2", url.Values{"contents": {"1"}})
	var u operate.Update
	if err := json.Unmarshal([]byte(text), &u); status != http.StatusOK || err != nil || u.Contents == nil ||
		u.Contents.Files.Changed != 8 || u.Contents.Files.Added+u.Contents.Files.Removed != 0 {
		t.Errorf("its contents: %d %s", status, text)
	}
	if status, text = updateOf(t, central, "v1", "v2", url.Values{"format": {"markdown"}}); status != http.StatusOK ||
		!strings.Contains(text, "8 changed") {
		t.Errorf("as Markdown: %d %s", status, text)
	}
	if status, text = updateOf(t, central, "v1", "v9", nil); status != http.StatusNotFound || !strings.Contains(text, "v9") {
		t.Errorf("what is not there: %d %s", status, text)
	}
}
