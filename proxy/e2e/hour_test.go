package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/programtest"
)

// hour is a newcomer with an installed program.
type hour struct {
	t    *testing.T
	root string
	u    *upstream
	p    *programtest.Program
}

// hourHosts is how many hosts there are, each with an address of its own.
const hourHosts = 100

// hourRef is the tag that they follow.
const hourRef = upstreamHost + "/os/image:stable"

// configure writes the configuration of the installed program, with steps of roll-outs.
func (h *hour) configure(steps string) {
	h.t.Helper()
	text := fmt.Sprintf(`default_upstream: %s
upstreams:
  %[1]s: {url: "%s", insecure: true}
fleet: {identify: address}
log: {format: json}
repositories:
  - match: "**"
    refresh: 0s
    rollout: {steps: [%s]}
`, upstreamHost, h.u.server.URL, steps)
	if err := os.WriteFile(h.root+"/etc/strata/config.yml", []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// strata runs the installed program and holds what it prints against patterns, all of which it has to have.
func (h *hour) strata(args []string, patterns ...string) {
	h.t.Helper()
	all := append([]string{h.root, "/usr/bin/strata"}, args...)
	if h.p != nil {
		all = append(all, "--admin", "http://"+h.p.Operators)
	}
	h.holds("strata "+strings.Join(args, " "), command(h.t, nil, "chroot", all...), patterns)
}

func (h *hour) holds(what, text string, patterns []string) {
	h.t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(text) {
			h.t.Errorf("%s does not say %q:\n%s", what, pattern, text)
		}
	}
	h.t.Logf("%s\n%s", what, text)
}

// page gets a page of the operators'.
func (h *hour) page(path string, patterns ...string) {
	h.t.Helper()
	resp, err := http.Get("http://" + h.p.Operators + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).Match(b) {
			h.t.Errorf("the page %s does not say %q", path, pattern)
		}
	}
}

// pull has every host ask for the tag, and returns what each got.
func (h *hour) pull() (digests []string) {
	h.t.Helper()
	for i := range hourHosts {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 9, byte(i+1))}}
		web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			}}}
		r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet,
			"http://"+h.p.Clients+"/v2/"+upstreamHost+"/os/image/manifests/stable", nil)
		if err != nil {
			h.t.Fatal(err)
		}
		r.Header.Set("User-Agent", "bootc/1.1.4")
		resp, err := web.Do(r)
		if err != nil {
			h.t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			h.t.Fatalf("host %d: %s, %v", i, resp.Status, err)
		}
		digests = append(digests, resp.Header.Get("Docker-Content-Digest"))
	}
	return digests
}

// step has every host ask, and checks that so many per cent have another version than old, and nobody went back to it who
// had one in before.
func (h *hour) step(percent int, old string, before []string) []string {
	h.t.Helper()
	now := h.pull()
	n := 0
	for i, d := range now {
		switch {
		case d != old:
			n++
		case before != nil && before[i] != old:
			h.t.Errorf("host %d went back", i)
		}
	}
	// Of 100 hosts, the share is off by 15 once in a thousand times at most.
	if off := n - percent*hourHosts/100; off < -15 || off > 15 || percent == 100 && off != 0 || percent > 0 && n == 0 {
		h.t.Errorf("%d of %d hosts have the new version, want %d %%", n, hourHosts, percent)
	}
	return now
}

// A newcomer's hour: install from the package, serve, pull, look, update, roll out in three steps, hold, roll back.
func TestHour(t *testing.T) {
	t.Parallel()
	file := released(t, "*_"+runtime.GOARCH+".deb")
	needRoot(t)
	need(t, "chroot", "skopeo")
	system, tags := corpus(t, "dpkg")
	h := &hour{t: t, root: unpack(t, system.host()+"/os/image:"+tags[0]), u: newUpstream(t)}
	images := series(true)

	// Install.
	copyTo(t, file, h.root+"/tmp/"+filepath.Base(file))
	h.holds("dpkg -i", command(t, nil, "chroot", h.root, "dpkg", "-i", "/tmp/"+filepath.Base(file)),
		[]string{`Setting up strata`})
	h.strata([]string{"--version"}, `^strata \S+\n$`)
	h.configure("10% at 0h, 50% at 24h, 100% at 48h")
	h.strata([]string{"serve", "--check", "--config", "/etc/strata/config.yml"},
		`^configuration /etc/strata/config.yml can be used\n$`)

	// Serve, pull, look.
	h.u.push("os/image:stable", images[0])
	h.p = startInstalled(t, h.root)
	h.strata([]string{"status"}, `(?m)^store +filesystem /var/lib/strata/strata-data: 0 B`,
		`(?m)^images +0 versions in 0 repos`)
	h.strata([]string{"warm", hourRef}, `^`+hourRef+`: done\n$`)
	skopeo(t, h.p.Clients+"/"+hourRef, t.TempDir()+"/layout:image")
	h.strata([]string{"status"}, `(?m)^images +1 version in 1 repository$`,
		`(?m)^registry.test/os/image +stable +rechunked +1 `)
	first := h.pull()[0]
	h.page("/repositories/"+hourRef, `bootc switch`, first)

	// Update, in three steps.
	h.u.push("os/image:stable", images[1])
	h.strata([]string{"warm", hourRef}, `: done\n$`)
	had := h.step(10, first, nil)
	h.strata([]string{"status", hourRef}, `(?m)^roll-out +`+hourRef+` +stepping, 10% of hosts get sha256:`,
		`(?m)^tag +stable +rechunked +sha256:[0-9a-f]{64} for 10% of hosts$`,
		`(?m)^tag +stable +rechunked +`+first+` for 90% of hosts$`)
	h.strata([]string{"fleet", hourRef}, `(?m)^client +bootc/1.1.4 +100$`)
	h.configure("50% at 0h, 100% at 24h")
	h.strata([]string{"reload"}, `^configuration reloaded\n$`)
	had = h.step(50, first, had)
	h.strata([]string{"status", hourRef}, `stepping, 50% of hosts get`)
	h.configure("100% at 0h")
	h.strata([]string{"reload"}, `^configuration reloaded\n$`)
	second := h.step(100, first, had)[0]
	h.strata([]string{"fleet", hourRef}, `(?m)^`+hourRef+` +10[01] hosts, [01] behind$`)
	h.page("/api/v1/updates?format=markdown&contents=1&from="+first+"&to="+second, `(?i)pkg`)
	h.page("/versions/"+second, `(?i)layers`)

	// Hold and roll back.
	h.configure("50% at 0h, 100% at 24h")
	h.strata([]string{"reload"}, `^configuration reloaded\n$`)
	h.u.push("os/image:stable", images[2])
	h.strata([]string{"warm", hourRef}, `: done\n$`)
	had = h.step(50, second, nil)
	h.strata([]string{"hold", hourRef, "--reason", "looks odd"}, `: held, 50% of hosts get .*: looks odd\n$`)
	h.strata([]string{"status"}, `(?m)^`+hourRef+` +held, 50% of hosts get .*: looks odd$`)
	h.page("/repositories/"+hourRef, `looks odd`)
	h.step(50, second, had)
	h.strata([]string{"rollback", hourRef, "--reason", "is odd"}, `: withdrawn, nobody gets .*: is odd\n$`)
	h.step(0, second, nil)
	h.strata([]string{"status", hourRef}, `(?m)^tag +stable +rechunked +`+second+` for all hosts$`, `withdrawn, nobody gets`,
		` hold by .*: looks odd`, ` rollback by .*: is odd`)
	h.page("/", `(?i)withdrawn`)

	h.p.Terminate()
	if code := h.p.Wait(); code != 0 {
		t.Errorf("the program ended with %d", code)
	}
}
