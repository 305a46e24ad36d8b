package pulltest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// cold is a blob that nobody has asked for, of 32 MiB, with every page different, at an upstream that counts.
type cold struct {
	*slowBlob
	url string
	c   *http.Client
}

func newCold(t *testing.T, h *harness, ranges bool) *cold {
	t.Helper()
	b := newSlowBlob(t, h, ranges)
	b.release()
	base, _ := h.serve(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &cold{b, base + "/v2/" + testRepo.String() + "/blobs/" + b.digest.String(), &http.Client{Transport: transport}}
}

// get asks for ranges and returns what came of them, one piece for each.
func (c *cold) get(t *testing.T, ranges string) [][]byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes="+ranges)
	resp, err := c.c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("%s: %s", ranges, resp.Status)
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	if !strings.HasPrefix(kind, "multipart/") {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{b}
	}
	for parts := multipart.NewReader(resp.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
}

// Ranges of a cold blob, many in a request, cost an upstream that takes one at a time no more than the parts around them,
// each once. When they come to half of the blob, it is fetched whole and kept.
func TestRangesOfColdBlob(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := newCold(t, h, true)
	at := []int{len(b.content) - 500, 3 << 20, 3<<20 + 5000, 20 << 20}
	var specs []string
	for _, a := range at {
		specs = append(specs, fmt.Sprintf("%d-%d", a, a+99))
	}
	for range 3 {
		got := b.get(t, strings.Join(specs, ","))
		for i, a := range at {
			if len(got) != len(at) || !bytes.Equal(got[i], b.content[a:a+100]) {
				t.Fatalf("%d parts, wrong bytes at %d", len(got), a)
			}
		}
	}
	if whole, ranged := b.whole.Load(), b.ranged.Load(); whole != 0 || ranged != 3 {
		t.Errorf("%d downloads and %d requests for parts, want 0 and 3", whole, ranged)
	}
	if _, err := h.chunks.Stat(t.Context(), b.digest); err == nil {
		t.Error("the blob is stored, of which parts were fetched")
	}
	for part := range 16 {
		from := part << 20
		if got := b.get(t, fmt.Sprintf("%d-%d", from, from+99)); !bytes.Equal(got[0], b.content[from:from+100]) {
			t.Fatalf("wrong bytes at %d", from)
		}
	}
	h.awaitStored(b.digest)
	// Who is far ahead of the download gets parts, too, of which no place needs more than one.
	if whole, ranged := b.whole.Load(), b.ranged.Load(); whole != 1 || ranged < 16 || ranged > 19 {
		t.Errorf("%d downloads and %d requests for parts, want 1 and 16 to 19", whole, ranged)
	}
}

// Who asks for half of a blob, or for its rest, or at an upstream without ranges, gets a download.
func TestRangesThatAreMuch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ranges string
		gives  bool
		ranged int64
	}{
		"half":      {fmt.Sprintf("5-%d", 16<<20+5), true, 0},
		"in pieces": {fmt.Sprintf("0-%d,%d-%d", 8<<20, 9<<20, 18<<20), true, 0},
		"rest":      {fmt.Sprintf("%d-", 31<<20), true, 1},
		"no ranges": {"5-10", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			b := newCold(t, h, c.gives)
			b.get(t, c.ranges)
			h.awaitStored(b.digest)
			if whole, ranged := b.whole.Load(), b.ranged.Load(); whole != 1 || ranged > c.ranged {
				t.Errorf("%d downloads and %d requests for parts, want 1 and at most %d", whole, ranged, c.ranged)
			}
			if got := digest.FromBytes(h.blob(b.digest)); got != b.digest {
				t.Error("wrong blob")
			}
		})
	}
}
