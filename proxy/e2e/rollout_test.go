package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// from listens for a client and speaks to the proxy from an address of its own, until the test ends.
func from(tb testing.TB, address string, p *proxy) (listen string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var running sync.WaitGroup
	tb.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				up, err := dialer.Dial("tcp", p.Clients)
				if err != nil {
					return
				}
				defer up.Close()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = io.Copy(up, c)
					_ = up.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(c, up)
				_ = c.Close()
				<-sent
			})
		}
	})
	return l.Addr().String()
}

// rolledHost is a host that asks from an address, or as a user.
type rolledHost struct{ address, creds string }

// inspect returns the digest that skopeo gets of os/image:stable, and what HEAD and GET say of it, which must agree.
func (h rolledHost) inspect(t *testing.T, p *proxy) (digest, said string) {
	t.Helper()
	at := from(t, h.address, p)
	args := []string{"inspect", "--no-tags", "--tls-verify=false", "--format", "{{.Digest}}"}
	if h.creds != "" {
		args = append(args, "--creds", h.creds)
	}
	digest = strings.TrimSpace(command(t, nil, "skopeo",
		append(args, "docker://"+at+"/"+upstreamHost+"/os/image:stable")...))
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+at+"/v2/"+upstreamHost+
			"/os/image/manifests/stable", nil)
		if err != nil {
			t.Fatal(err)
		}
		if user, password, ok := strings.Cut(h.creds, ":"); ok {
			r.SetBasicAuth(user, password)
		}
		r.Close = true
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Docker-Content-Digest"); got != digest {
			t.Errorf("%+v: %s says %s, and skopeo got %s", h, method, got, digest)
		}
		if c := resp.Header.Get("Cache-Control"); c != "private, no-cache, must-revalidate" {
			t.Errorf("%+v: %s may be cached: %s", h, method, c)
		}
		said = resp.Header.Get("Strata-Rollout")
	}
	return digest, said
}

// A version reaches real clients by steps, as who they log in as or where they come from says; it is held and rolled back by
// hand, also over a restart, and what has a digest is always served.
func TestRollout(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	for name, tc := range map[string]struct {
		top  string
		host func(i int) rolledHost
	}{
		"addresses": {"", func(i int) rolledHost { return rolledHost{fmt.Sprintf("127.0.9.%d", i+1), ""} }},
		"users": {`
access:
  htpasswd_file: ` + htpasswd(t, "h0:x", "h1:x", "h2:x", "h3:x", "h4:x", "h5:x", "h6:x", "h7:x", "h8:x", "h9:x") + `
`, func(i int) rolledHost { return rolledHost{"127.0.0.1", fmt.Sprintf("h%d:x", i)} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			images := series(true)
			u.push("os/image:stable", images[0])
			p := newProxy(t, u, proxyOptions{top: tc.top,
				rule: "rollout: {hold: 12h, steps: [40% at 0h, 100% at 24h], first: [127.0.9.1/32, h0]}"})
			operators := []string{"--admin", "http://" + p.Operators}
			ref := upstreamHost + "/os/image:stable"
			strataDo := func(args ...string) string {
				t.Helper()
				return command(t, nil, program, append(args, operators...)...)
			}
			all := func() (digests, said []string) {
				t.Helper()
				for i := range 10 {
					d, s := tc.host(i).inspect(t, p)
					digests, said = append(digests, d), append(said, s)
				}
				return digests, said
			}
			differ := func(digests []string, old string) (n int) {
				for _, d := range digests {
					if d != old {
						n++
					}
				}
				return n
			}
			strataDo("warm", ref)
			d, said := all()
			old := d[0]
			if differ(d, old) != 0 || said[0] != "" {
				t.Fatalf("the first version: %v, %q", d, said)
			}
			u.push("os/image:stable", images[1])
			strataDo("warm", ref) // goes ahead
			if d, said = all(); differ(d, old) != 0 || !strings.HasPrefix(said[0], "held until ") {
				t.Fatalf("held by the rule: %v, %q", d, said)
			}
			strataDo("release", ref)
			d, said = all()
			if n := differ(d, old); n == 0 || n == 10 || d[0] == old || said[0] != "new; 40% of hosts" {
				t.Fatalf("the first step: %v, %q", d, said)
			}
			fresh := d[0]
			strataDo("hold", ref, "--reason", "looks odd")
			u.push("os/image:stable", images[2])
			p.Terminate()
			p.start()
			operators = []string{"--admin", "http://" + p.Operators}
			for i, again := range first(all()) {
				if again != d[i] {
					t.Errorf("host %d got %s before the restart and %s after it", i, d[i], again)
				}
			}
			strataDo("rollback", ref)
			if d, said = all(); differ(d, old) != 0 || !strings.HasPrefix(said[9], "withdrawn; stable since ") {
				t.Fatalf("rolled back: %v, %q", d, said)
			}
			args := []string{"inspect", "--no-tags", "--tls-verify=false"}
			if tc.top != "" {
				args = append(args, "--creds", "h9:x")
			}
			command(t, nil, "skopeo", append(args, "docker://"+p.image("os/image@"+fresh))...) // by its digest it is there
			strataDo("release", "--all", ref)
			if d, said = all(); differ(d, d[0]) != 0 || d[0] == old || d[0] == fresh || said[0] != "" {
				t.Errorf("released to all: %v, %q", d, said)
			}
		})
	}
}

func first(a, _ []string) []string { return a }
