package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A request with many ranges does not move more than the blob that they are of.
func TestManyRanges(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
	d := u.blob("os/x", "application/octet-stream", content)
	p := newProxy(t, map[string]*upstream{"up.test": u})
	path := "/v2/up.test/os/x/blobs/" + d.Digest.String()
	p.get(path)
	for name, part := range map[string]func(i int) string{
		"single bytes":   func(i int) string { return fmt.Sprintf("%d-%d", 2*i, 2*i) },
		"the whole blob": func(int) string { return "0-" },
		"overlapping":    func(i int) string { return fmt.Sprintf("%d-", i) },
	} {
		for _, n := range []int{1000, 5000} {
			var ranges []string
			for i := range n {
				ranges = append(ranges, part(i))
			}
			a := p.get(path, "Range", "bytes="+strings.Join(ranges, ","))
			if len(a.body) > 2*len(content) {
				t.Errorf("%s: %d ranges move %d bytes of a blob of %d", name, n, len(a.body), len(content))
			}
		}
	}
	p.within("ranges")
}

// A cold blob of which many single bytes are asked for is not fetched again for each.
func TestRangesOfColdBlobs(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 48<<20/16)
	d := digest.FromBytes(content)
	moved := make(chan int64, 4096)
	u.lie("/v2/os/x/blobs/"+d.String(), func(w http.ResponseWriter, r *http.Request) {
		counting := &countingWriter{ResponseWriter: w}
		if r.Header.Get("Range") == "" && r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = counting.Write(content[:1<<20])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		} else {
			serveRange(counting, r, content)
		}
		moved <- counting.n
	})
	p := newProxy(t, map[string]*upstream{"up.test": u})
	for i := range 1000 {
		off := (i * 47_777) % len(content)
		p.get("/v2/up.test/os/x/blobs/"+d.String(), "Range", fmt.Sprintf("bytes=%d-%d", off, off))
	}
	sum := int64(0)
	for len(moved) > 0 {
		sum += <-moved
	}
	if sum > 4*int64(len(content)) {
		t.Errorf("1,000 bytes of a blob of %d MiB move %d MiB", len(content)>>20, sum>>20)
	}
	p.within("ranges of a cold blob")
}

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.n += int64(n)
	return n, err
}

// Connections that send their request byte by byte, or a body that never ends, are closed, on both listeners.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	p := newProxy(t, map[string]*upstream{"up.test": u}, "limits: {header_timeout: 2s, idle_timeout: 3s}")
	for _, addr := range []string{p.Clients, p.Operators} {
		for name, text := range map[string]string{
			"a header that never ends": "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
			"a body that never comes":  "POST /api/v1/warm HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
			"nothing":                  "",
		} {
			t.Run(name+" "+addr, func(t *testing.T) {
				t.Parallel()
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, text); err != nil {
					t.Fatal(err)
				}
				if err := c.SetReadDeadline(time.Now().Add(40 * time.Second)); err != nil {
					t.Fatal(err)
				}
				// An answer, or none; but the connection ends.
				if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Error("the connection stays open")
				}
			})
		}
	}
}

// One connection of resets leaves no work behind.
func TestResets(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	p := newProxy(t, map[string]*upstream{"up.test": u}, "tls: {cert_file: "+cert+", key_file: "+key+"}")
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	streams := 20_000
	if testing.Short() {
		streams = 2000
	}
	c := dialTLS(t, p.Clients)
	defer c.Close()
	w := bufio.NewWriter(c)
	_, _ = w.WriteString(http2.ClientPreface)
	f := http2.NewFramer(w, c)
	_ = f.WriteSettings()
	go io.Copy(io.Discard, c) //nolint:errcheck // until the connection ends
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := range streams {
		d := digest.FromString(fmt.Sprint("reset", i)).String()
		path := "/v2/os/x/blobs/" + d
		u.lie(path, silent)
		block.Reset()
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "127.0.0.1"},
			{":path", "/v2/up.test/os/x/blobs/" + d}} {
			_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		id := uint32(2*i + 1)
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true,
			EndHeaders: true}) != nil ||
			f.WriteRSTStream(id, http2.ErrCodeCancel) != nil || w.Flush() != nil {
			break // the proxy has had enough
		}
	}
	eventually(t, "goroutines end", func() bool { return p.Metric("go_goroutines") < 500 })
	eventually(t, "files are closed", func() bool { return p.OpenFiles() < 300 })
	p.within("resets")
}

// Clients that ask for large manifests and read nothing cost a bounded amount of memory, and hold up nobody who reads.
func TestSlowReadersOfManifests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u})
	p.good("up.test/os/good", "v1")
	var paths []string
	for i := range 40 {
		d := u.manifest("os/large", fmt.Sprint("v", i), ocispec.MediaTypeImageManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": []any{},
			"annotations": map[string]string{"org.example.large": strings.Repeat(fmt.Sprint(i%10), 4_000_000)},
		})
		path := "/v2/up.test/os/large/manifests/" + d.Digest.String()
		if a := p.get(path); a.status != http.StatusOK {
			t.Fatal(a)
		}
		paths = append(paths, path)
	}
	for i := range 600 {
		c, err := net.Dial("tcp", p.Clients)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", paths[i%len(paths)]); err != nil {
			t.Fatal(err)
		}
	}
	u.goodImage("os/good", "v2")
	p.good("up.test/os/good", "v2")
	p.within("slow readers")
	t.Logf("peak memory %d MiB", p.PeakMemory()>>20)
}

// What an upstream calls a page or a script is not one where clients, and browsers, get it.
func TestNoScripts(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	page := []byte("<html><script>alert(1)</script></html>")
	d := u.blob("os/x", "text/html", page)
	u.put("/v2/os/x/blobs/"+d.Digest.String(), "text/html", page)
	u.put("/v2/os/x/manifests/v1", "text/html", page)
	u.put("/v2/os/x/manifests/"+d.Digest.String(), "image/svg+xml", page)
	p := newProxy(t, map[string]*upstream{"up.test": u})
	for _, path := range []string{
		"/v2/up.test/os/x/blobs/" + d.Digest.String(), "/v2/up.test/os/x/manifests/v1", "/v2/up.test/os/x/manifests/" +
			d.Digest.String(),
		"/v2/up.test/os/<script>/manifests/v1", "/v2/", "/v2/_catalog",
	} {
		a := p.get(path)
		kind := a.header.Get("Content-Type")
		if a.header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") ||
			strings.Contains(kind, "html") || strings.Contains(kind, "svg") || strings.Contains(kind, "xml") {
			t.Errorf("%s: Content-Type %q, X-Content-Type-Options %q, Content-Security-Policy %q", path, kind,
				a.header.Get("X-Content-Type-Options"), a.header.Get("Content-Security-Policy"))
		}
	}
}

// The operators' listener answers to its own name only, whatever else a request has.
func TestRebinding(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	token := "0123456789abcdef0123456789abcdef"
	p := newProxy(t, map[string]*upstream{"up.test": u}, "default_upstream: up.test")
	for _, host := range []string{"evil.example", "evil.example:5001", "127.0.0.1.evil.example", "localhost.evil.example"} {
		for _, path := range []string{"/", "/metrics", "/api/v1/status", "/api/v1/jobs"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Operators+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := p.web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("%s with Host %s: %s", path, host, resp.Status)
			}
		}
	}
}

// What the proxy keeps is its user's alone, in whatever umask it runs.
func TestPrivateFiles(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u})
	p.good("up.test/os/good", "v1")
	for _, top := range []string{"strata-data", "strata-work"} {
		err := filepath.WalkDir(filepath.Join(p.dir, top), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %s", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	a := p.get("/v2/up.test/os/good/manifests/v1", "Accept", ocispec.MediaTypeImageManifest)
	if a.status != http.StatusOK {
		t.Error(a)
	}
}
