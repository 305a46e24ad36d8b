package oneshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cleanTemp points temporary files to a directory that has to be empty at the end of the test.
func cleanTemp(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			t.Errorf("left behind: %v %v", entries, err)
		}
	})
}

func rules() rechunk.Options {
	return rechunk.Options{MaxLayers: 20, MaxStale: 0.2, Format: layer.Zstd, Versions: 4}
}

// component is a large file that says what it belongs to.
func component(name string, version uint64) treetest.Item {
	return treetest.File("usr/bin/"+name,
		imagetest.Noise(fmt.Sprint(name, version), 300<<10)).WithMode(0o755).WithXattr("user.component", name)
}

// version is an image in which some components are newer.
func version(versions map[string]uint64) imagetest.Image {
	items := []treetest.Item{treetest.Dir("usr"), treetest.Dir("usr/bin"), treetest.Symlink("bin", "usr/bin")}
	for i := range 8 {
		name := fmt.Sprintf("%c%c-tool", 'a'+i, 'z'-i)
		items = append(items, component(name, versions[name]))
	}
	return imagetest.Image{Layers: [][]treetest.Item{items, {treetest.File("etc/issue", fmt.Sprint(versions))}}}
}

// newRegistry starts a registry and returns its address.
func newRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// layers returns the layers of an image.
func layers(t *testing.T, ref string) []string {
	t.Helper()
	r, err := imageref.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	src, err := r.Open(t.Context(), imageref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	_, raw, _ := src.Manifest()
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// An image may come from and go to any place; the result is the same image everywhere.
func TestRechunkPlaces(t *testing.T) {
	cleanTemp(t)
	dir, host := t.TempDir(), newRegistry(t)
	places := []string{"oci:" + dir + "/%s:1", "oci-archive:" + dir + "/%s.tar:1", "docker://" + host + "/test/%s:1"}
	digests := map[string]bool{}
	for i, from := range places {
		src := fmt.Sprintf(from, "source")
		want := version(nil).Write(t, src)
		for j, to := range places {
			dst := fmt.Sprintf(to, fmt.Sprintf("out-%d-%d", i, j))
			r, err := oneshot.Rechunk(t.Context(), src, dst, "image", rules(), oneshot.Options{})
			if err != nil {
				t.Fatalf("%s to %s: %v", src, dst, err)
			}
			if r.SourceDigest != want || r.LayersTotal != r.LayersNew || r.LayersTotal != len(layers(t, dst)) ||
				r.TotalBytes != r.NewBytes {
				t.Errorf("%s to %s: %+v", src, dst, r)
			}
			digests[r.Digest.String()] = true
			v, err := oneshot.Verify(t.Context(), src, dst, true, 0, oneshot.Options{})
			if err != nil || !v.Same || v.Differences == nil {
				t.Errorf("%s and %s: %+v, %v", src, dst, v, err)
			}
		}
	}
	if len(digests) != 1 {
		t.Errorf("results differ: %v", digests)
	}
}

func TestRechunkKeepsLayers(t *testing.T) {
	cleanTemp(t)
	dir := t.TempDir()
	o := oneshot.Options{State: filepath.Join(dir, "state")}
	ref := func(kind string, n int) string { return fmt.Sprintf("oci:%s/%s:%d", dir, kind, n) }
	var last []string
	for n, changed := range []map[string]uint64{{}, {"by-tool": 1}, {"by-tool": 2}} {
		version(changed).Write(t, ref("source", n))
		r, err := oneshot.Rechunk(t.Context(), ref("source", n), ref("out", n), "os", rules(), o)
		if err != nil {
			t.Fatal(err)
		}
		now := layers(t, ref("out", n))
		kept := 0
		for _, l := range now {
			if strings.Contains(strings.Join(last, " "), l) {
				kept++
			}
		}
		if kept != r.LayersKept || r.LayersTotal != len(now) || r.LayersKept+r.LayersNew != r.LayersTotal {
			t.Errorf("version %d: %d kept: %+v", n, kept, r)
		}
		if n > 0 && (kept == 0 || r.NewBytes*2 > r.TotalBytes) {
			t.Errorf("version %d keeps too little: %+v", n, r)
		}
		last = now
	}
	c, err := oneshot.Compare(t.Context(), ref("out", 0), ref("out", 1), layer.Zstd, "", oneshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.FilesChanged != 2 || c.LayersToFetch == 0 || c.FloorBytes < 300<<10 || c.UpdateBytes < c.FloorBytes ||
		c.Ratio < 1 || c.Ratio > 2 {
		t.Errorf("%+v", c)
	}
	if len(c.Components) == 0 || c.Components[0].Component == "" {
		t.Errorf("components: %+v", c.Components)
	}
}

// What a killed process left in a state directory goes with the next run, and what is not Strata's stays.
func TestRechunkSweepsState(t *testing.T) {
	cleanTemp(t)
	dir := t.TempDir()
	o := oneshot.Options{State: filepath.Join(dir, "state")}
	if err := os.Mkdir(o.State, 0o700); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"rpmdb-1": false, "strata-tmp-rpmdb-2": false, "strata-tmp-spool-3": false, "rpmdb-backup": true,
		"notes": true}
	for name := range left {
		if err := os.WriteFile(filepath.Join(o.State, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	version(nil).Write(t, "oci:"+dir+"/source:1")
	if _, err := oneshot.Rechunk(t.Context(), "oci:"+dir+"/source:1", "oci:"+dir+"/out:1", "os", rules(), o); err != nil {
		t.Fatal(err)
	}
	for name, want := range left {
		if _, err := os.Lstat(filepath.Join(o.State, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Names in one state directory are lineages of their own, and a state directory remembers what it did.
func TestRechunkLineages(t *testing.T) {
	cleanTemp(t)
	dir := t.TempDir()
	o := oneshot.Options{State: filepath.Join(dir, "state")}
	src := "oci:" + dir + "/source:1"
	version(nil).Write(t, src)
	run := func(name string) *rechunk.Result {
		r, err := oneshot.Rechunk(t.Context(), src, "oci:"+dir+"/out:"+name, name, rules(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, again, other := run("one"), run("one"), run("two")
	if first.Digest != again.Digest {
		t.Errorf("the same image gave %s, then %s", first.Digest, again.Digest)
	}
	if other.Digest != first.Digest {
		t.Errorf("a lineage depends on another one: %s and %s", first.Digest, other.Digest)
	}
}

func TestVerifyDifferences(t *testing.T) {
	cleanTemp(t)
	dir := t.TempDir()
	a, b := "oci:"+dir+"/a:1", "oci:"+dir+"/b:1"
	items := []treetest.Item{treetest.File("etc/issue", "1"), treetest.File("etc/motd", "1")}
	imagetest.Image{Layers: [][]treetest.Item{items}}.Write(t, a)
	items[0] = items[0].WithOwner(7, 0)
	items[1] = treetest.File("etc/motd", "2")
	imagetest.Image{Layers: [][]treetest.Item{items}}.Write(t, b)
	v, err := oneshot.Verify(t.Context(), a, b, false, 0, oneshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range v.Differences {
		got = append(got, d.Path+" "+d.What)
	}
	if diff := cmp.Diff([]string{"etc/issue owner", "etc/motd content"}, got); diff != "" || v.Same {
		t.Errorf("same: %v (-want +got)\n%s", v.Same, diff)
	}
	v, err = oneshot.Verify(t.Context(), a, b, false, 1, oneshot.Options{})
	if err != nil || len(v.Differences) != 1 || v.Same {
		t.Errorf("at most one: %+v, %v", v, err)
	}
	if _, err := json.Marshal(v); err != nil {
		t.Error(err)
	}
}

// Work that fails or is interrupted leaves no image and no temporary files; cleanTemp checks the latter.
func TestRechunkFails(t *testing.T) {
	cleanTemp(t)
	dir := t.TempDir()
	src, dst := "oci:"+dir+"/source:1", "oci-archive:"+dir+"/out.tar:1"
	version(nil).Write(t, src)
	interrupted, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, tc := range map[string]struct {
		ctx      context.Context
		src, dst string
		o        oneshot.Options
		want     func(error) bool
	}{
		"no source":    {t.Context(), "oci:" + dir + "/none:1", dst, oneshot.Options{}, notNil},
		"bad source":   {t.Context(), "oci:", dst, oneshot.Options{}, notNil},
		"bad platform": {t.Context(), src, dst, oneshot.Options{Platform: "x"}, notNil},
		"bad target":   {t.Context(), src, "oci-archive:/proc/x/y.tar", oneshot.Options{}, notNil},
		"bad state":    {t.Context(), src, dst, oneshot.Options{State: "/proc/x"}, notNil},
		"interrupted": {interrupted, src, dst, oneshot.Options{Progress: func(rechunk.Progress) { cancel() }},
			func(err error) bool {
				return errors.Is(err, context.Canceled)
			}},
	} {
		if _, err := oneshot.Rechunk(tc.ctx, tc.src, tc.dst, "image", rules(), tc.o); !tc.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(dir + "/out.tar"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a result: %v", err)
	}
	if _, err := oneshot.Compare(t.Context(), src, "oci:"+dir+"/none:1", layer.Zstd, "", oneshot.Options{}); err == nil {
		t.Error("compared with nothing")
	}
}

func notNil(err error) bool { return err != nil }

func TestInspector(t *testing.T) {
	cleanTemp(t)
	ref := "oci:" + t.TempDir() + "/source:1"
	version(nil).Write(t, ref)
	i, err := oneshot.NewInspector(t.Context(), oneshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := i.Inspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if e := x.Tree.Lookup("bin"); e == nil || e.Kind != tree.Symlink {
		t.Errorf("bin is %+v", e)
	}
	if err := errors.Join(x.Close(), i.Close()); err != nil {
		t.Error(err)
	}
}
