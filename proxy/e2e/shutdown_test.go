package e2e

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/programtest"
)

// get asks the proxy for a path below /v2/ and returns the answer, whose body is closed at the end of the test.
func (p *proxy) get(path string, headers ...string) *http.Response {
	p.tb.Helper()
	r, err := http.NewRequestWithContext(p.tb.Context(), http.MethodGet, "http://"+p.Clients+"/v2/"+path, nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	// A connection of its own: those that are kept would hold up the end of the process.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() { resp.Body.Close() })
	return resp
}

// body reads an answer to its end and returns its digest.
func body(tb testing.TB, resp *http.Response) ([]byte, digest.Digest) {
	tb.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return b, digest.FromBytes(b)
}

func TestSIGTERMLetsADownloadFinish(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pushSeries(t, series(true)), proxyOptions{})
	largest := manifest(t, p.image("os/image:v1")).Layers[0]
	for _, l := range manifest(t, p.image("os/image:v1")).Layers {
		if l.Size > largest.Size {
			largest = l
		}
	}
	resp := p.get("os/image/blobs/" + largest.Digest.String())
	first := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	p.Terminate()
	p.Log.Await(t, func(l programtest.Line) bool { return l["msg"] == "shutting down" })
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %d of %d bytes: %v", len(rest), largest.Size, err)
	}
	if got := digest.FromBytes(append(first, rest...)); got != largest.Digest {
		t.Errorf("the blob arrives as %s, want %s", got, largest.Digest)
	}
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSIGTERMDuringAJobLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	want := digests(t, newProxy(t, u, proxyOptions{}), "v1")
	h := u.holdBlobs(200_000)
	p := newProxy(t, u, proxyOptions{})
	left := p.pullInBackground(t.Context(), "v1")
	<-h.reached
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	<-left
	checkNoLeftovers(t, p)
	h.release()
	p.start()
	if got := digests(t, p, "v1"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a restart: %v, want %v", got, want)
	}
}
