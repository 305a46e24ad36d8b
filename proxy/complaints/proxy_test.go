package complaints

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
)

// proxy is a whole proxy in this process.
type proxy struct {
	t        *testing.T
	url      string
	dir      string
	web      *http.Client
	operator *admin.Client

	mu     sync.Mutex
	config config.Config // what reloading reads
}

// newProxy starts a proxy for an upstream, which it asks on every pull. It ends with the test.
func newProxy(t *testing.T, u *upstream, change ...func(*config.Config)) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: t.TempDir()}
	c := config.Default()
	c.Listen, c.Admin.Listen, c.ShutdownTimeout = "127.0.0.1:0", "127.0.0.1:0", config.Duration(10*time.Second)
	c.DefaultUpstream = upstreamHost
	up := config.DefaultUpstreamSettings()
	up.URL, up.Insecure, up.Attempts, up.Timeout = u.server.URL, true, 2, config.Duration(5*time.Second)
	c.Upstreams = map[string]config.Upstream{upstreamHost: up}
	rule := config.DefaultRule()
	rule.Match, rule.Rechunk, rule.Refresh = "**", config.RechunkNever, 0
	c.Repositories = []config.Rule{rule}
	c.Storage.Parameters = map[string]any{"rootdirectory": filepath.Join(p.dir, "data")}
	for _, f := range change {
		f(c)
	}
	p.config = *c
	p.start(c)
	return p
}

func (p *proxy) start(c *config.Config) {
	p.t.Helper()
	log := &bytes.Buffer{}
	p.t.Cleanup(func() { // after the server has ended
		if p.t.Failed() {
			p.t.Logf("log:\n%s", log)
		}
	})
	s, err := server.New(p.t.Context(), server.Options{
		Config: c, Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil)), Load: p.load,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.Listen(p.t.Context()); err != nil {
		p.t.Fatal(errors.Join(err, s.Close()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	p.url, p.web = "http://"+s.Addr().String(), &http.Client{Transport: transport}
	p.operator = admin.NewClient("http://"+s.AdminAddr().String(), p.web)
	p.t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("serve: %v", err)
		}
	})
}

func (p *proxy) load() (*config.Config, []string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.config
	return &c, nil, nil
}

// reload has the proxy take over a configuration that differs so.
func (p *proxy) reload(change func(*config.Config)) {
	p.t.Helper()
	p.mu.Lock()
	p.config.Repositories = slices.Clone(p.config.Repositories)
	change(&p.config)
	p.mu.Unlock()
	if _, err := p.operator.Reload(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// rechunks lets the proxy of a test rechunk.
func rechunks(c *config.Config) { c.Repositories[0].Rechunk = config.RechunkAuto }

// upstreamSettings changes how the upstream is reached.
func upstreamSettings(change func(*config.Upstream)) func(*config.Config) {
	return func(c *config.Config) {
		u := c.Upstreams[upstreamHost]
		change(&u)
		c.Upstreams[upstreamHost] = u
	}
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // that ended the body
}

// code is the code of an error document.
func (a answer) code() string {
	var doc struct{ Errors []struct{ Code string } }
	if json.Unmarshal(a.body, &doc) != nil || len(doc.Errors) == 0 {
		return ""
	}
	return doc.Errors[0].Code
}

func (a answer) String() string {
	return fmt.Sprintf("status %d %s, served %q, %d bytes, %v", a.status, a.code(), a.header.Get("Strata-Served"),
		len(a.body), a.err)
}

// ask sends a request and reads the answer. Headers are pairs.
func (p *proxy) ask(method, path string, header ...string) answer {
	p.t.Helper()
	a, err := p.send(p.t.Context(), method, path, header...)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (p *proxy) send(ctx context.Context, method, path string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := p.web.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b, err}, nil
}

func (p *proxy) get(path string, header ...string) answer {
	p.t.Helper()
	return p.ask(http.MethodGet, path, header...)
}

// want asks for what must be answered with a status; manifests with a value of Strata-Served.
func (p *proxy) want(path string, status int, served string) answer {
	p.t.Helper()
	a := p.get(path)
	if a.status != status || a.err != nil || a.header.Get("Strata-Served") != served {
		p.t.Fatalf("%s: %s; want status %d, served %q", path, a, status, served)
	}
	return a
}

// pull gets a manifest with all of its blobs and checks their digests.
func (p *proxy) pull(repository, reference string) error {
	m, err := p.send(p.t.Context(), http.MethodGet, "/v2/"+repository+"/manifests/"+reference)
	if err != nil || m.status != http.StatusOK || m.err != nil {
		return fmt.Errorf("%s:%s: %s, %w", repository, reference, m, err)
	}
	for _, d := range layersOf(m.body) {
		b, err := p.send(p.t.Context(), http.MethodGet, "/v2/"+repository+"/blobs/"+d)
		if err != nil || b.status != http.StatusOK || b.err != nil || digest.FromBytes(b.body).String() != d {
			return fmt.Errorf("%s: %s, %w", d, b, err)
		}
	}
	return nil
}

// eventually waits until something that is sure to come is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}
