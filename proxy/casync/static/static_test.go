package static_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/casync/static"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// versions are two images of which the second has one file more, in its last layer.
func versions(t *testing.T) (dir string, refs [2]string) {
	t.Helper()
	dir = t.TempDir()
	base := []treetest.Item{treetest.Dir("usr"), treetest.File("usr/big", imagetest.Noise("big", 3<<20)),
		treetest.File("usr/small", "text")}
	for i := range refs {
		refs[i] = "oci:" + filepath.Join(dir, "images") + ":" + string(rune('1'+i))
		top := []treetest.Item{treetest.File("usr/own", imagetest.Noise("own", 700<<10))}
		if i == 1 {
			top = append(top, treetest.File("usr/p", imagetest.Noise("new", 500<<10)))
		}
		imagetest.Image{Layers: [][]treetest.Item{base, {treetest.File("usr/s", "")}, top, {treetest.File("usr/s", "")}}}.
			Write(t, refs[i])
	}
	return dir, refs
}

func export(t *testing.T, ref, dir string, o static.Options) *static.Report {
	t.Helper()
	r, err := static.Export(t.Context(), ref, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// assemble makes a stream of a store by machinery of its own.
func assemble(t *testing.T, r *static.Report, compressed bool) []byte {
	t.Helper()
	f, err := os.Open(r.Index)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := casync.ReadIndex(f)
	if err != nil {
		t.Fatal(err)
	}
	d, err := casync.NewDecoder(x.Sizes)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out []byte
	for _, c := range x.Chunks {
		b, err := os.ReadFile(filepath.Join(r.Store, casync.Path(c.ID, compressed)))
		if err == nil && compressed {
			b, err = d.Decode(nil, c.ID, b)
		}
		if err != nil || casync.Sum(b) != c.ID {
			t.Fatalf("%s: %v", c.ID, err)
		}
		out = append(out, b...)
	}
	if int64(len(out)) != r.ArchiveBytes {
		t.Errorf("%d bytes, not %d", len(out), r.ArchiveBytes)
	}
	return out
}

// The index stands for an archive of the image with its config, and casync cuts that archive as it was cut here.
func TestExport(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	out := filepath.Join(dir, "www")
	r := export(t, refs[0], out, static.Options{Parallel: 3})
	b := assemble(t, r, true)
	if filepath.Base(r.Index) != "images-1.caibx" || r.NewChunks != r.Chunks || r.Chunks < 10 {
		t.Errorf("%+v", r)
	}
	files := map[string]bool{}
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name] {
			t.Errorf("%s is there twice", h.Name)
		}
		files[h.Name] = true
	}
	if len(files) != 7 { // two of the four layers are one
		t.Errorf("files %v", files)
	}
	same := export(t, refs[0], filepath.Join(dir, "again"), static.Options{})
	if again := assemble(t, same, true); !bytes.Equal(again, b) {
		t.Error("the same image gives another archive")
	}
	archive := filepath.Join(dir, "archive")
	if err := os.WriteFile(archive, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := imageref.Parse("oci-archive:" + archive)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ref.Open(t.Context(), imageref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	index := filepath.Join(dir, "theirs.caibx")
	run(t, "casync", "make", "--store="+filepath.Join(dir, "theirs.castr"), index, archive)
	if theirs, ours := read(t, index), read(t, r.Index); !bytes.Equal(theirs, ours) {
		t.Error("casync makes another index of the archive")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a program, or skips the test where it is missing.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// A second version adds what is new in it, and a second export nothing.
func TestIncremental(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	out := filepath.Join(dir, "www")
	first := export(t, refs[0], out, static.Options{})
	second := export(t, refs[1], out, static.Options{})
	if second.NewChunks == 0 || second.NewChunks > first.Chunks/2 || second.NewBytes < 500<<10 {
		t.Errorf("%+v after %+v", second, first)
	}
	if again := export(t, refs[1], out, static.Options{}); again.NewChunks != 0 || again.NewBytes != 0 {
		t.Errorf("%+v", again)
	}
	plain := export(t, refs[1], out, static.Options{Uncompressed: true, Name: "plain.caibx"})
	if plain.NewChunks != second.Chunks || !bytes.Equal(assemble(t, plain, false), assemble(t, second, true)) {
		t.Errorf("%+v", plain)
	}
	small := export(t, refs[1], out, static.Options{Sizes: casync.Sizes{Min: 4 << 10, Avg: 16 << 10, Max: 64 << 10},
		Name: "small"})
	if small.Chunks < 2*second.Chunks || !bytes.Equal(assemble(t, small, true), assemble(t, second, true)) {
		t.Errorf("%+v", small)
	}
}

// Wherever an export ends, the chunks that are there are whole, no index names one that is not, and the next export goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	out := filepath.Join(dir, "www")
	whole := export(t, refs[1], filepath.Join(dir, "whole"), static.Options{})
	for n := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		var heard atomic.Int64
		_, err := static.Export(ctx, refs[1], out, static.Options{Progress: func(done, _ int64) {
			if heard.Add(1) == int64(1+n*4) {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break
		}
		if _, err := os.Stat(filepath.Join(out, "images-2.caibx")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an index: %v", err)
		}
		err = filepath.WalkDir(filepath.Join(out, static.Store), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(whole.Store, filepath.Join(whole.Store, filepath.Base(filepath.Dir(path)), e.Name()))
			if err == nil && !bytes.Equal(read(t, path), read(t, filepath.Join(whole.Store, rel))) {
				t.Errorf("%s is another chunk", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := export(t, refs[1], out, static.Options{})
	if !bytes.Equal(assemble(t, r, true), assemble(t, whole, true)) {
		t.Error("another archive")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	for _, o := range []static.Options{{Name: "a/b"}, {Name: ".hidden"}, {Name: ".caibx"}, {Sizes: casync.Sizes{Min: 1}}} {
		if _, err := static.Export(t.Context(), refs[0], filepath.Join(dir, "www"), o); err == nil {
			t.Errorf("%+v", o)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "www")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	blobs := filepath.Join(dir, "images", "blobs", "sha256")
	entries, err := os.ReadDir(blobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() > 1<<20 {
			b := read(t, filepath.Join(blobs, e.Name()))
			b[len(b)/2] ^= 1
			if err := os.WriteFile(filepath.Join(blobs, e.Name()), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := static.Export(t.Context(), refs[0], filepath.Join(dir, "www"), static.Options{}); err == nil {
		t.Error("a damaged layer was exported")
	}
	if _, err := os.Stat(filepath.Join(dir, "www", "images-1.caibx")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an index: %v", err)
	}
}

// web serves a directory, and counts what is asked for. It breaks off the answers that cut says.
func web(t *testing.T, dir string, cut func(n int64) bool) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, casync.Suffix) {
			if n := asked.Add(1); cut != nil && cut(n) {
				w.Header().Set("Content-Length", "100000")
				_, _ = io.WriteString(w, "half")
				panic(http.ErrAbortHandler)
			}
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// Real clients, from a plain web server: with a seed they fetch what is new, what they make is the image.
func TestClients(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	out := filepath.Join(dir, "www")
	old := export(t, refs[0], out, static.Options{})
	now := export(t, refs[1], out, static.Options{})
	url, asked := web(t, out, nil)
	want := assemble(t, now, true)
	for _, program := range []string{"casync", "desync"} {
		t.Run(program, func(t *testing.T) {
			had, made := filepath.Join(dir, program+"-old"), filepath.Join(dir, program+"-new")
			store := "--store=" + url + "/" + static.Store
			run(t, program, "extract", store, url+"/images-1.caibx", had)
			seed := "--seed=" + had
			if program == "desync" {
				seed = "--seed=" + filepath.Join(dir, "old.caibx")
				if err := os.WriteFile(filepath.Join(dir, "old.caibx"), read(t, old.Index), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(had, filepath.Join(dir, "old")); err != nil {
					t.Fatal(err)
				}
			}
			before := asked.Load()
			run(t, program, "extract", store, seed, url+"/images-2.caibx", made)
			if !bytes.Equal(read(t, made), want) {
				t.Error("it made another archive")
			}
			if n := asked.Load() - before; n == 0 || n > int64(now.NewChunks)+4 {
				t.Errorf("it fetched %d chunks; %d are new", n, now.NewChunks)
			}
			run(t, "skopeo", "copy", "--insecure-policy", "oci-archive:"+made, "dir:"+filepath.Join(dir, program+"-dir"))
		})
	}
	t.Run("verify", func(t *testing.T) {
		run(t, "desync", "verify", "--store="+now.Store)
		run(t, "desync", "verify-index", now.Index, filepath.Join(dir, "desync-new"))
	})
	t.Run("default store", func(t *testing.T) { // casync looks beside the index
		run(t, "casync", "extract", url+"/images-2.caibx", filepath.Join(dir, "beside"))
	})
}

// Several stores, of which one has a part, chunks that are not compressed, and connections that break.
func TestClientsInTrouble(t *testing.T) {
	t.Parallel()
	dir, refs := versions(t)
	first := export(t, refs[0], filepath.Join(dir, "first"), static.Options{})
	now := export(t, refs[1], filepath.Join(dir, "now"), static.Options{})
	want := assemble(t, now, true)
	same := func(t *testing.T, made string) {
		t.Helper()
		if !bytes.Equal(read(t, made), want) {
			t.Error("it made another archive")
		}
	}
	for _, program := range []string{"casync", "desync"} {
		t.Run(program+" with several stores", func(t *testing.T) {
			// casync 2 takes one that is not a directory.
			a, more := first.Store, "--extra-store="
			if program == "desync" {
				url, _ := web(t, filepath.Join(dir, "first"), nil)
				a, more = url+"/"+static.Store, "--store="
			}
			b, asked := web(t, filepath.Join(dir, "now"), nil)
			made := filepath.Join(dir, program+"-several")
			run(t, program, "extract", more+a, "--store="+b+"/"+static.Store, now.Index, made)
			same(t, made)
			if n := asked.Load(); n == 0 || n >= int64(first.Chunks) {
				t.Errorf("%d of the second", n)
			}
		})
	}
	t.Run("desync with connections that break", func(t *testing.T) {
		url, _ := web(t, filepath.Join(dir, "now"), func(n int64) bool { return n%5 == 2 })
		made := filepath.Join(dir, "desync-breaks")
		run(t, "desync", "extract", "--error-retry=9", "--store="+url+"/"+static.Store, now.Index, made)
		same(t, made)
	})
	t.Run("desync goes on", func(t *testing.T) {
		if _, err := exec.LookPath("desync"); err != nil {
			t.Skip("desync is not installed")
		}
		var broken atomic.Bool
		broken.Store(true)
		url, asked := web(t, filepath.Join(dir, "now"), func(n int64) bool { return broken.Load() && n > 20 })
		made := filepath.Join(dir, "desync-goes-on")
		args := []string{"extract", "--in-place", "--error-retry=0", "-n", "1", "--store=" + url + "/" + static.Store,
			now.Index, made}
		if out, err := exec.CommandContext(t.Context(), "desync", args...).CombinedOutput(); err == nil {
			t.Fatalf("it did not notice: %s", out)
		}
		broken.Store(false)
		before := asked.Load()
		run(t, "desync", args...)
		same(t, made)
		if n := asked.Load() - before; n > int64(now.Chunks)-10 {
			t.Errorf("it fetched %d chunks again, of %d", n, now.Chunks)
		}
	})
	t.Run("desync with chunks as they are", func(t *testing.T) {
		plain := export(t, refs[1], filepath.Join(dir, "plain"), static.Options{Uncompressed: true})
		config := filepath.Join(dir, "desync.json")
		b := `{"store-options": {"` + plain.Store + `": {"uncompressed": true}}}`
		if err := os.WriteFile(config, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		made := filepath.Join(dir, "desync-plain")
		run(t, "desync", "--config="+config, "extract", "--store="+plain.Store, plain.Index, made)
		same(t, made)
	})
}
