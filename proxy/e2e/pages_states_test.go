package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/proxy/browsertest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// bootable is an image of some bytes that do not compress.
func bootable(t *testing.T, seed string, size int) sourceImage {
	t.Helper()
	return sourceImage{labels: map[string]string{"containers.bootc": "1"}, layers: [][]byte{treetest.Gzip(t,
		treetest.Tar(t, treetest.Dir("usr"), treetest.File("usr/data", random(seed, 1, size))))}}
}

// smallDisk mounts a filesystem of a few bytes for the length of a test. It takes root on Linux.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("a small filesystem takes root on Linux")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		t.Skipf("a small filesystem: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// On a disk that is full the pages say so first, and what helps; what hosts get for it is told with the tag. It ends with
// the lack of space, without a restart, on a page that is open, too.
func TestPagesOfFullDisk(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	dir := smallDisk(t, "6m")
	u := newUpstream(t)
	u.push("os/image:stable", bootable(t, "one", 300_000))
	u.push("os/late:stable", bootable(t, "late", 2<<20))
	u.push("os/large:stable", bootable(t, "large", 9<<20))
	p := newProxy(t, u, proxyOptions{dir: dir})
	pull := func(image string) {
		t.Helper()
		if _, err := fetchImage(t.Context(), p.image(image)); err != nil {
			t.Fatal(err)
		}
	}
	pull("os/image:stable")
	pull("os/large:stable")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	pull("os/late:stable")
	pull("os/image:stable") // what is stored is served
	if resp := mustGet(t, "http://"+p.Operators+"/livez"); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	until(t, "the word that it is full", func() bool { // how much is free is believed for a second
		body, err := io.ReadAll(mustGet(t, "http://"+p.Operators+"/api/v1/status").Body)
		return err == nil && bytes.Contains(body, []byte("the store is full"))
	})
	w := newWalker(t)
	const large, little = "/repositories/" + upstreamHost + "/os/large", "there is too little space for it"
	w.walk(p, "full disk", map[string]string{"/": "the store is full: what is stored is served, new images pass through",
		"/repositories": "stable", large: little, large + ":stable": little,
		"/jobs": upstreamHost + "/os/late:stable"}, true)

	w.b.Open("http://" + p.Operators + "/")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.b.Run(browsertest.Awaiting +
		`await until(() => !document.querySelector("main").innerText.includes("the store is full"));`)
	u.push("os/next:stable", bootable(t, "next", 100_000))
	command(t, nil, program, "warm", "--admin", "http://"+p.Operators, upstreamHost+"/os/next:stable")
}

func mustGet(t *testing.T, url string) *http.Response {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A thousand repositories that were pulled are listed by pages, found by their names, and each has its own page.
func TestPagesOfThousandRepositories(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	u := newUpstream(t)
	u.push("fleet/os:stable", bootable(t, "one", 1000))
	numbered := regexp.MustCompile(`^/v2/fleet/os-[0-9]{4}/`)
	u.setGate(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = numbered.ReplaceAllString(r.URL.Path, "/v2/fleet/os/")
			next.ServeHTTP(w, r)
		})
	})
	p := newProxy(t, u, proxyOptions{rule: "family: fleet", top: "fleet: {identify: address}\n"})
	names := make(chan string)
	var pulling sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		pulling.Go(func() {
			for name := range names {
				resp, err := http.Get("http://" + p.Clients + "/v2/" + upstreamHost + "/" + name + "/manifests/stable")
				if err != nil {
					t.Error(err)
					continue
				}
				_ = resp.Body.Close()
				if served := resp.Header.Get("Strata-Served"); resp.StatusCode != http.StatusOK || served != "rechunked" {
					t.Errorf("%s: %s, %s", name, resp.Status, served)
				}
			}
		})
	}
	for i := range 1000 {
		names <- fmt.Sprintf("fleet/os-%04d", i)
	}
	close(names)
	pulling.Wait()
	w := newWalker(t)
	const one = "/repositories/" + upstreamHost + "/fleet/os-0000"
	w.walk(p, "1,000 repositories", map[string]string{"/": "1,000", "/repositories": "1,000 repositories · page 1 of 10",
		"/repositories?page=2": "page 2 of 10", one: "stable", one + ":stable": "sudo bootc switch"}, true)
	w.b.Open("http://" + p.Operators + "/repositories?q=os-0999")
	got := w.b.Run(`return [...document.querySelectorAll("#list tbody a")].map((a) => a.textContent).join(" ");`)
	if got != upstreamHost+"/fleet/os-0999 stable" {
		t.Errorf("found %q", got)
	}
}
