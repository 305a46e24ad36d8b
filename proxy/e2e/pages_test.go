package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strata-oci/strata/proxy/browsertest"
	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

var pictures = flag.String("pictures", "", "write pictures of a running proxy's pages into this directory")

// walker looks at pages of a running proxy with a browser.
type walker struct {
	t   *testing.T
	b   *browsertest.Browser
	axe string // its script
}

func newWalker(t *testing.T) *walker {
	t.Helper()
	w := &walker{t: t, b: browsertest.New(t, "about:blank")}
	w.b.WatchFaults()
	t.Run("axe", func(t *testing.T) { w.axe = browsertest.Axe(t) })
	return w
}

// links are of a page's own listener; in scripts and forms are none.
var links = regexp.MustCompile(`(?:href|action)="(/[^"]*)"`)

// pages follows the links of all pages from the first on, which have to lead somewhere, and returns the paths of the pages;
// of those of one kind only the first ones.
func (w *walker) pages(p *proxy) []string {
	w.t.Helper()
	seen, kinds, found := map[string]bool{"/": true}, map[string]int{}, []string(nil)
	digests := regexp.MustCompile(`[0-9a-f]{64}`)
	for queue := []string{"/"}; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		resp, err := http.Get("http://" + p.Operators + path)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			w.t.Errorf("%s is linked, and gives %s, %v", path, resp.Status, err)
			continue
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			continue
		}
		if !strings.Contains(path, "sort=") { // the same page in another order
			found = append(found, path)
		}
		for _, m := range links.FindAllStringSubmatch(string(text), -1) {
			to := strings.ReplaceAll(m[1], "&amp;", "&")
			to, _, _ = strings.Cut(to, "#")
			kind := digests.ReplaceAllString(regexp.MustCompile(`[0-9]+`).ReplaceAllString(to, "0"), "d")
			if seen[to] || to == "" || strings.HasPrefix(to, "/do/") || to == "/logout" || kinds[kind] > 1 {
				continue
			}
			seen[to] = true
			kinds[kind]++
			queue = append(queue, to)
		}
	}
	slices.Sort(found)
	return found
}

// walk looks at the pages in a state, light on a desktop and dark on a phone: nothing fails, runs out of its place or keeps
// people from using it, and what is wanted is said. With only, the pages without a want are asked for and not looked at.
func (w *walker) walk(p *proxy, state string, want map[string]string, only bool) {
	w.t.Helper()
	paths := w.pages(p)
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if !slices.Contains(paths, path) {
			w.t.Errorf("%s: no link leads to %s, but to %q", state, path, paths)
		}
	}
	for i, path := range paths {
		if only && want[path] == "" {
			continue
		}
		w.b.Size(1280, 900, false)
		w.b.Open("http://" + p.Operators + path)
		text := w.b.Run(`return document.querySelector("main").innerText;`)
		if !strings.Contains(text, want[path]) {
			w.t.Errorf("%s: %s lacks %q:\n%s", state, path, want[path], text)
		}
		for _, look := range []struct {
			name          string
			width, height int
			dark          bool
		}{{"desktop", 1280, 900, false}, {"phone-dark", 390, 844, true}} {
			w.b.Size(look.width, look.height, look.dark)
			faults := w.b.Faults()
			if w.axe != "" {
				faults = append(faults, w.b.Findings(w.axe)...)
			}
			for _, f := range faults {
				w.t.Errorf("%s, %s, %s: %s", state, path, look.name, f)
			}
			if *pictures != "" {
				name := fmt.Sprintf("%s-%02d-%s-%s.png", state, i, strings.NewReplacer("/", "_", "?", "_", ":", "_").Replace(
					path[1:min(len(path), 60)]), look.name)
				if err := os.WriteFile(filepath.Join(*pictures, name), w.b.Picture(), 0o644); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
}

// The pages of a proxy that runs, in each state that it gets into: empty, with versions of which hosts get the newest by
// steps, at work, with an upstream that fails, and after a restart, which forgets no failure. Every link on them leads
// somewhere.
func TestPagesOfRunningProxy(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	u := newUpstream(t)
	p := newProxy(t, u, proxyOptions{top: "fleet: {identify: address}\n",
		rule: "rollout: {steps: [5% at 0h, 100% at 24h]}"})
	w := newWalker(t)
	w.walk(p, "empty", map[string]string{"/": "Nothing was pulled through this proxy yet", "/jobs": "Nothing has ended",
		"/repositories": "Nothing was pulled through yet", "/deltas": "No other Strata asked",
		"/fleet": "No host has pulled yet"}, false)

	const repository = "/repositories/" + upstreamHost + "/os/image"
	move := func(i int) {
		t.Helper()
		u.push("os/image:stable", series(false)[i])
	}
	pull := func(image string) {
		t.Helper()
		if _, err := fetchImage(t.Context(), p.image(image)); err != nil {
			t.Fatal(err)
		}
	}
	u.push("app/web:1", sourceImage{layers: [][]byte{treetest.Gzip(t, treetest.Tar(t, treetest.Dir(".")))}})
	move(0)
	pull("os/image:stable")
	move(1)
	pull("os/image:stable")
	pull("app/web:1")
	u.push("os/broken:1", sourceImage{labels: map[string]string{"containers.bootc": "1"},
		layers: [][]byte{treetest.Gzip(t, []byte("no tar"))}})
	_, _ = fetchImage(t.Context(), p.image("os/broken:1")) // the original, which no client can unpack
	p.Terminate()                                          // which writes what was counted
	if code := p.Wait(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	p.start()
	w.walk(p, "versions", map[string]string{"/": "clients took", repository: "What pulls took, day by day",
		repository + ":stable": "sudo bootc switch", "/fleet": "1 host", "/jobs": "registry.test/os/broken:1"}, false)

	h := u.holdBlobs(1 << 20)
	move(2)
	ctx, stop := context.WithCancel(t.Context())
	var pulling sync.WaitGroup
	pulling.Go(func() { _, _ = fetchImage(ctx, p.image("os/image:stable")) }) // which ends with the test's own hold
	<-h.reached
	w.walk(p, "busy", map[string]string{"/jobs": "running", "/": "running"}, true)
	const tag = repository + ":stable"
	w.b.Size(1280, 600, false)
	w.b.Open("http://" + p.Operators + tag)
	w.b.Run(browsertest.Awaiting + `await until(() => document.body.classList.contains("scripted"));
window.mark = document.querySelector("h1");
document.querySelector("details.actions").open = true;
const why = document.querySelector("details.actions input[name=reason]");
why.value = "half typed";
why.focus();
scrollTo(0, 300);`)
	h.release()
	p.Log.Await(t, func(l programtest.Line) bool { return l["msg"] == "image rechunked" })
	got := w.b.Run(browsertest.Awaiting + `await until(() => document.querySelectorAll("#versions tbody tr").length > 2);
const why = document.querySelector("details.actions input[name=reason]");
return [mark.isConnected, why.value, document.activeElement === why, document.querySelector("details.actions").open, scrollY].join();`)
	if got != "true,half typed,true,true,300" {
		t.Errorf("after another version: %s", got)
	}
	stop()
	pulling.Wait()

	u.setGate(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	for range 3 {
		resp := p.get(upstreamHost + "/os/image/manifests/stable")
		_, _ = body(t, resp)
	}
	w.walk(p, "upstream down", map[string]string{"/": upstreamHost + " did not answer when", tag: "nobody could check it since"}, true)
	u.setGate(nil)
}
