package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
)

// program is the strata program under test. TestMain sets it, nothing changes it.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program once for all tests.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "strata-hostile-")
	if err == nil {
		defer os.RemoveAll(dir)
		program, err = programtest.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

const (
	// containerLimit is what a container is given that runs the proxy.
	containerLimit = 1 << 30
	// mostMemory is what a hostile image may make the process take, in bytes (docs/security.md).
	mostMemory = 768 << 20
)

// proxy is a running program with the directory of its store.
type proxy struct {
	*programtest.Program
	t   *testing.T
	dir string
	web *http.Client
}

// newProxy starts a proxy in front of upstreams, by the host names that images have. What follows are further lines of
// configuration.
func newProxy(t *testing.T, upstreams map[string]*upstream, lines ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: t.TempDir()}
	text := "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nlog: {format: json}\nupstreams:\n"
	for host, u := range upstreams {
		text += fmt.Sprintf("  %s: {url: %q, insecure: true}\n", host, u.URL)
	}
	text += strings.Join(lines, "\n") + "\n"
	if !strings.Contains(text, "repositories:") {
		text += "repositories:\n  - {match: \"**\", refresh: 0s}\n"
	}
	path := filepath.Join(p.dir, "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The store is where it is by default, ./strata-data.
	p.Program = programtest.Start(t, programtest.Options{Program: program, Config: path, Dir: p.dir, Memory: containerLimit})
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	p.web = &http.Client{Transport: transport, Timeout: 5 * time.Minute}
	return p
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // that ended the body
}

// served is how the proxy came by a manifest.
func (a answer) served() string { return a.header.Get("Strata-Served") }

func (a answer) String() string {
	return fmt.Sprintf("status %d, served %q, %d bytes %.200q, %v", a.status, a.served(), len(a.body), a.body, a.err)
}

// as asks for a path with the name and password "user:password"; headers are pairs.
func (p *proxy) as(user, method, path string, header ...string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.Clients+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := p.web.Do(req)
	if err != nil {
		if !p.Running() {
			p.t.Fatalf("%s %s: %v: the proxy has ended", method, path, err)
		}
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b, err}
}

func (p *proxy) get(path string, header ...string) answer {
	p.t.Helper()
	return p.as("", http.MethodGet, path, header...)
}

// pull gets an image with all of its blobs as a user, checks their digests, and returns how its manifest was served and all
// that came.
func (p *proxy) pull(user, repository, reference string) (served string, contents [][]byte, err error) {
	p.t.Helper()
	m := p.as(user, http.MethodGet, "/v2/"+repository+"/manifests/"+reference, "Accept", ocispec.MediaTypeImageManifest)
	if m.status != http.StatusOK || m.err != nil {
		return "", nil, fmt.Errorf("%s:%s: %s", repository, reference, m)
	}
	contents = append(contents, m.body)
	var doc ocispec.Manifest
	if err := json.Unmarshal(m.body, &doc); err != nil {
		return "", contents, err
	}
	for _, d := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		b := p.as(user, http.MethodGet, "/v2/"+repository+"/blobs/"+d.Digest.String())
		contents = append(contents, b.body)
		if b.status != http.StatusOK || b.err != nil || digest.FromBytes(b.body) != d.Digest {
			return m.served(), contents, fmt.Errorf("%s: %s", d.Digest, b)
		}
	}
	return m.served(), contents, nil
}

// good pulls an image that must be served rechunked, whatever else goes on.
func (p *proxy) good(repository, tag string) {
	p.t.Helper()
	served, _, err := p.pull("", repository, tag)
	if err != nil || served != "rechunked" {
		p.t.Errorf("good image %s:%s: served %q, %v", repository, tag, served, err)
	}
}

// within checks what the process took of the machine.
func (p *proxy) within(what string) {
	p.t.Helper()
	if !p.Running() {
		p.t.Fatalf("%s: the proxy has ended", what)
	}
	if peak := p.PeakMemory(); peak > mostMemory {
		p.t.Errorf("%s: peak memory %d MiB, at most %d", what, peak>>20, int64(mostMemory)>>20)
	}
}

// plain is what bytes hold once a compression is taken off; at most a MiB of it.
func plain(b []byte) []byte {
	var r io.Reader
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return b
		}
		r = z
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			return b
		}
		defer z.Close()
		r = z
	default:
		return b
	}
	out, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	return out
}

// eventually waits until something that is sure to come is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(programtest.Patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %s: %s", programtest.Patience, what)
		}
	}
}
