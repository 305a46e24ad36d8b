package via_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// host writes an image's files into a directory.
func host(t *testing.T, p picture) string {
	t.Helper()
	dir := t.TempDir()
	for _, i := range p.items {
		path := filepath.Join(dir, i.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(i.Body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newHostEdge is an edge on a host that has an image and keeps no layers.
func newHostEdge(t *testing.T, dir string, holds picture, central ...picture) *edge {
	t.Helper()
	return newEdge(t, func(o *via.Options) {
		o.Store, o.Roots = nil, []via.Root{{Root: seed.NewRoot(dir), Told: holds.digest()}}
	}, central...)
}

func TestRoot(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newHostEdge(t, host(t, before), before, before, after)
	if r := e.pulled(t, after); r.Deltas != 1 || e.central.blobs != 0 {
		t.Errorf("%+v", r)
	}
	// Layers are passed on; a config is kept, and so is what nobody knows to be a layer.
	if !e.Transient(t.Context(), repo, after.layer()) || e.Transient(t.Context(), repo, before.layer()) {
		t.Error("which blobs are kept is wrong")
	}
	e = newEdge(t, nil, before, after)
	e.keep(t, repo, after)
	if e.Transient(t.Context(), repo, after.layer()) {
		t.Error("an edge with a store keeps no layers")
	}
}

// A root that is no seed is told once, and in the report as long as it is none.
func TestRootIsNoSeed(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	var log bytes.Buffer
	missing := filepath.Join(t.TempDir(), "missing")
	unknown := host(t, before) // the kernel's command line names no deployment there
	if err := os.MkdirAll(filepath.Join(unknown, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unknown, "proc/cmdline"), []byte("quiet"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, func(o *via.Options) {
		o.Store, o.Roots = nil, []via.Root{{Root: seed.NewRoot(missing)}, {Root: seed.NewRoot(unknown)}}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}, before, after)
	for range 2 {
		e.pulled(t, after)
	}
	r := e.Report()
	if r.Whole != 2 || r.Reasons[string(via.NoSeed)] != 2 || len(r.Roots) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, told := range r.Roots {
		if told.Root == missing && !strings.Contains(told.Error, "no such file") ||
			told.Root == unknown && !strings.Contains(told.Error, "names no deployment") {
			t.Errorf("%+v", told)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// A root that was mistyped is told when the edge starts, also where the configuration says which image it holds.
func TestRootIsMistyped(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	for _, says := range []bool{false, true} {
		var log bytes.Buffer
		missing := filepath.Join(t.TempDir(), "missing")
		root := via.Root{Root: seed.NewRoot(missing)}
		if says {
			root.Told = before.digest()
		}
		e := newEdge(t, func(o *via.Options) {
			o.Store, o.Roots = nil, []via.Root{root}
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}, before, after)
		if r := e.Report(); len(r.Roots) != 1 || r.Roots[0].Root != missing {
			t.Errorf("%+v", r.Roots)
		}
		e.pulled(t, after)
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "root="+missing) {
			t.Errorf("%d warnings: %s", n, log.String())
		}
		if r := e.Report(); r.Reasons[string(via.NoSeed)] != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// Who passes a layer on reads as many bytes as it has, and does not look for its end: it came by a delta all the same.
func TestRootCounts(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newHostEdge(t, host(t, before), before, before, after)
	if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
		t.Fatal(err)
	}
	body, size, err := e.Blob(t.Context(), repo, after.layer(), -1)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, size)
	if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, after.blob) {
		t.Error(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	r := e.Report()
	if r.Deltas != 1 || r.Whole != 0 || r.DeltaBytes <= 0 || r.SavedBytes != size-r.DeltaBytes {
		t.Errorf("%+v", r)
	}
	// One that left before the end has not got it.
	if body, _, err = e.Blob(t.Context(), repo, after.layer(), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, got[1:]); err != nil {
		t.Error(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if again := e.Report(); again.Deltas != 1 {
		t.Errorf("%+v", again)
	}
}

// A host that holds another image than it was said to.
func TestRootOfAnotherImage(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	other := paint(t, treetest.File("usr/0", "other"))
	e := newHostEdge(t, host(t, other), before, before, after)
	if r := e.pulled(t, after); r.Reasons[string(via.BadSource)] != 1 {
		t.Errorf("%+v", r)
	}
	// One that does not tell is no seed.
	e = newEdge(t, func(o *via.Options) {
		o.Store, o.Roots = nil, []via.Root{{Root: seed.NewRoot(t.TempDir())}}
	}, before, after)
	if r := e.pulled(t, after); r.Reasons[string(via.NoSeed)] != 1 {
		t.Errorf("%+v", r)
	}
}

// Whatever becomes of a host's files, before or while a layer is made of them, the layer is right.
func TestRootDamaged(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	runs := 32
	if testing.Short() {
		runs = 8
	}
	for run := range runs {
		rng := rand.New(rand.NewPCG(uint64(run), 3))
		dir := host(t, before)
		tick(t, dir)
		e := newHostEdge(t, dir, before, before, after)
		if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
			t.Fatal(err)
		}
		late := run%2 == 0 // when some of the layer was passed on
		if !late {
			damageFiles(t, dir, rng)
		}
		body, _, err := e.Blob(t.Context(), repo, after.layer(), -1)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if late {
			if _, err := io.CopyN(&got, body, rng.Int64N(int64(len(after.blob)))); err != nil {
				t.Fatal(err)
			}
			damageFiles(t, dir, rng)
		}
		_, err = io.Copy(&got, body)
		if cerr := body.Close(); cerr != nil {
			t.Error(cerr)
		}
		if err != nil || !bytes.Equal(got.Bytes(), after.blob) {
			t.Errorf("run %d: %d bytes of %d, %v", run, got.Len(), len(after.blob), err)
		}
		if r := e.Report(); r.Deltas+r.Whole != 1 {
			t.Errorf("run %d: %+v", run, r)
		}
	}
}

// tick waits until a file that is written now is told by its times from those that are there.
func tick(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "tick")
	written := func() time.Time {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for since := written(); !written().After(since); {
		time.Sleep(time.Millisecond)
	}
}

// A file that is changed where it lies while the layer is made of it is noticed before anything wrong is passed on.
func TestRootChangesWhileRead(t *testing.T) {
	t.Parallel()
	begin, end := noise(1, 2<<20), noise(2, 2<<20)
	before := paint(t, treetest.File("usr/0", begin+end))
	after := paint(t, treetest.File("usr/0", begin+noise(3, 4<<20)+end))
	const at = 3 << 20
	for what, change := range map[string]func(path string) error{
		"altered": func(path string) error { return alter(path, at, end[at-len(begin)]^1) },
		"cut":     func(path string) error { return os.Truncate(path, at) },
	} {
		dir := host(t, before)
		tick(t, dir)
		e := newHostEdge(t, dir, before, before, after)
		diff := e.central.make(before, after)
		e.central.answer = func(client.DeltaRequest) (client.Delta, error) {
			late := readerFunc(func([]byte) (int, error) {
				if err := change(filepath.Join(dir, "usr/0")); err != nil {
					return 0, err
				}
				return 0, io.EOF
			})
			body := io.MultiReader(bytes.NewReader(diff[:1<<20]), late, bytes.NewReader(diff[1<<20:]))
			return client.Delta{Body: io.NopCloser(body), Seed: before.digest(), Size: int64(len(diff))}, nil
		}
		if r := e.pulled(t, after); r.Reasons[string(via.BadSource)] != 1 {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// damageFiles alters, cuts, replaces or removes some files.
func damageFiles(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	for range 1 + rng.IntN(3) {
		path := filepath.Join(dir, fmt.Sprintf("usr/%d", rng.IntN(8)))
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			continue
		}
		at := rng.IntN(len(b))
		switch rng.IntN(5) {
		case 0:
			err = os.Remove(path)
		case 1:
			err = os.WriteFile(path, b[:at], 0o644)
		case 2:
			if err = os.Remove(path); err == nil {
				err = os.Symlink("/etc/passwd", path)
			}
		case 3:
			err = alter(path, at, b[at]^1)
		default:
			b[at] ^= 1
			// As package managers do: the file that is open stays what it was.
			if err = os.WriteFile(path+".new", b, 0o644); err == nil {
				err = os.Rename(path+".new", path)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// alter changes a byte of a file where it lies: who has opened it reads the new one.
func alter(path string, at int, to byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{to}, int64(at))
	return errors.Join(err, f.Close())
}
