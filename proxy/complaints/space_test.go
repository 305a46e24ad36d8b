package complaints

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/upkeep"
)

// forgetful is a proxy that keeps nothing for having been pulled.
func forgetful(c *config.Config) { c.GC.KeepPulled = 0 }

// files calls fn with what the store of a proxy holds.
func (p *proxy) files(below string, fn func(path string, info fs.FileInfo) error) {
	p.t.Helper()
	err := filepath.WalkDir(filepath.Join(p.dir, "data", "v1", below), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // not yet, or no more
		case err != nil || d.IsDir():
			return err
		}
		info, err := d.Info()
		if err == nil {
			err = fn(path, info)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// age makes all that is stored older.
func (p *proxy) age(by time.Duration) {
	p.t.Helper()
	p.files("", func(path string, info fs.FileInfo) error {
		then := info.ModTime().Add(-by)
		return os.Chtimes(path, then, then)
	})
}

// stored returns the bytes of content that the disk holds.
func (p *proxy) stored() (bytes int64) {
	p.t.Helper()
	p.files("blobs", func(_ string, info fs.FileInfo) error {
		bytes += info.Size()
		return nil
	})
	return bytes
}

// has reports whether the disk holds content.
func (p *proxy) has(d string) bool {
	p.t.Helper()
	_, hex, _ := strings.Cut(d, ":")
	found := false
	p.files("blobs", func(path string, _ fs.FileInfo) error {
		found = found || filepath.Base(path) == hex
		return nil
	})
	return found
}

func (p *proxy) gc() upkeep.GCReport {
	p.t.Helper()
	r, err := p.operator.GC(p.t.Context(), upkeep.GCOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// collects makes what is stored old and collects it, until something is so: work that ends late may put that off for a run.
func (p *proxy) collects(what string, so func() bool) {
	p.t.Helper()
	eventually(p.t, what, func() bool {
		p.age(24 * time.Hour)
		p.gc()
		return so()
	})
}

// What no tag stands for any more leaves the disk; what one stands for stays, however old it is.
func blobsReclaimed(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u, forgetful)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	before := layersOf(p.want("/v2/os/image/manifests/stable", http.StatusOK, "original").body)
	if err := p.pull("os/image", "stable"); err != nil {
		t.Fatal(err)
	}
	u.push("os/image:stable", image(2, 100_000, "amd64"))
	if err := p.pull("os/image", "stable"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both images are stored", func() bool { return p.stored() > 200_000 })
	for _, d := range before {
		p.collects(d+" is gone", func() bool { return !p.has(d) })
	}
	if n := p.stored(); n > 110_000 {
		t.Errorf("%d bytes are left", n)
	}
	u.breaks(aborts)
	if err := p.pull("os/image", "stable"); err != nil {
		t.Errorf("what the tag stands for: %v", err)
	}
}

// The store never outgrows its quota, every pull is whole all the same, and room is made for what comes.
func sizeLimited(t *testing.T) {
	const quota = 1 << 20
	u := newUpstream(t)
	limited := func(c *config.Config) { forgetful(c); c.Quota = quota }
	p := newProxy(t, u, limited)
	for i, tag := range []string{"1", "2", "3", "4", "5"} {
		u.push("os/image:"+tag, image(uint64(i), 300_000, "amd64"))
		if err := p.pull("os/image", tag); err != nil {
			t.Fatal(err)
		}
		if n := p.stored(); n > quota {
			t.Fatalf("after %s images %d bytes are stored, more than the quota of %d", tag, n, quota)
		}
	}
	full := p.stored()
	if full < quota/2 {
		t.Fatalf("only %d bytes are kept", full)
	}
	for less := config.ByteSize(300_000); p.stored() > quota-300_000; less++ { // each change has it looked at
		p.age(24 * time.Hour)
		p.reload(func(c *config.Config) { c.Quota = quota - less })
	}
	p.reload(func(c *config.Config) { c.Quota = quota })
	last := layersOf(p.want("/v2/os/image/manifests/5", http.StatusOK, "original").body)
	if err := p.pull("os/image", "5"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what came last is kept", func() bool { return p.has(last[len(last)-1]) })
}

// A client that reads a blob while it is collected, or evicted, gets the whole.
func removedWhileRead(t *testing.T) {
	u := newUpstream(t)
	content := noise(7, 24<<20) // more than the buffers of a connection hold
	blob := u.largeBlob("os/image", content)
	d := path.Base(blob)
	for name, remove := range map[string]func(*proxy){
		"gc": func(p *proxy) { p.gc() },
		"quota": func(p *proxy) {
			for _, quota := range []config.ByteSize{1 << 20, 1<<20 + 1} { // each change has it looked at
				p.reload(func(c *config.Config) { c.Quota = quota })
			}
		},
	} {
		p := newProxy(t, u, forgetful)
		if a := p.get(blob); a.status != http.StatusOK || a.err != nil {
			t.Fatal(a)
		}
		eventually(t, "the blob is stored", func() bool { return p.has(d) })
		u.forget()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+blob, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 1000)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" removes the blob", func() bool {
			p.age(24 * time.Hour)
			remove(p)
			return !p.has(d)
		})
		rest, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(append(first, rest...), content) {
			t.Errorf("%s: %d bytes, %v", name, len(rest), err)
		}
		if n := u.count(http.MethodGet, d); n != 0 {
			t.Errorf("%s: the upstream was asked %d times", name, n)
		}
	}
}

// What a tag stands for is in use, and so is what was pulled by its digest lately: neither goes, by time or by name.
func usedStays(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	pinned := u.push("os/image:old", image(2, 100_000, "amd64"))
	for name, change := range map[string]func(*config.Config){"original": func(*config.Config) {}, "rechunked": rechunks} {
		p := newProxy(t, u, change)
		for _, ref := range []string{"stable", pinned.String()} {
			if err := p.pull("os/image", ref); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		p.age(6 * 24 * time.Hour)
		p.gc()
		u.breaks(aborts)
		for _, ref := range []string{"stable", pinned.String()} {
			if err := p.pull("os/image", ref); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		u.breaks(nil)
	}
}

// Times that are changed count for what is stored already, without a restart.
func timesChange(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	pinned := u.push("os/image:old", image(2, 100_000, "amd64"))
	p := newProxy(t, u, func(c *config.Config) { c.Repositories[0].Refresh = config.Duration(time.Hour) })
	first := p.want("/v2/os/image/manifests/stable", http.StatusOK, "original")
	if err := p.pull("os/image", pinned.String()); err != nil {
		t.Fatal(err)
	}
	moved := u.push("os/image:stable", image(3, 100_000, "amd64"))
	if a := p.get("/v2/os/image/manifests/stable"); !bytes.Equal(a.body, first.body) {
		t.Error("a tag that is believed for an hour was asked for")
	}
	p.age(24 * time.Hour)
	if p.gc(); !p.has(pinned.String()) {
		t.Error("what was pulled a moment ago is gone")
	}
	p.reload(func(c *config.Config) {
		forgetful(c)
		c.Repositories[0].Refresh = 0
	})
	if a := p.get("/v2/os/image/manifests/stable"); digest.FromBytes(a.body) != moved {
		t.Errorf("the tag is asked for no sooner: %s", a)
	}
	p.collects("what was pulled is kept no longer", func() bool { return !p.has(pinned.String()) })
}
