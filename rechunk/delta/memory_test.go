package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// onDisk is Scratch in files, so that what lies there is not memory.
type onDisk struct {
	dir  string
	live *live
	n    atomic.Int64
}

type diskFile struct {
	*os.File
	size int64
	live *live
}

func (d *onDisk) Create() (ScratchFile, error) {
	f, err := os.Create(filepath.Join(d.dir, fmt.Sprint(d.n.Add(1))))
	return &diskFile{File: f, live: d.live}, err
}

// ReadAt measures: it is where the next run of a large content is taken.
func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	f.live.look()
	return f.File.ReadAt(p, off)
}

func (f *diskFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.size += int64(n)
	return n, err
}

func (f *diskFile) Size() int64  { return f.size }
func (f *diskFile) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

// endless is a content of a length that takes no memory: words that hang on where they are, with a change every so often.
type endless struct {
	size, every int64
	live        *live
}

func (e *endless) ReadAt(p []byte, off int64) (int, error) {
	if len(p) >= 1<<20 || off%(4<<20) < int64(len(p)) {
		e.live.look()
	}
	n := int(min(int64(len(p)), e.size-off))
	for i := range n {
		at := off + int64(i)
		p[i] = byte((uint64(at>>3) * 0x9e3779b97f4a7c15) >> (8 + 8*(at&3)))
		if e.every > 0 && at%e.every < 40 {
			p[i] += byte(at >> 5)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (e *endless) Size() int64  { return e.size }
func (e *endless) Close() error { return nil }

func (e *endless) Open(context.Context, File) (Content, error) { return e, nil }

// live is the most memory that was in use at any of the moments at which it was looked at, beyond what there was.
type live struct {
	mu         sync.Mutex
	base, most uint64
	looks      int
}

// look measures.
func (l *live) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	l.most = max(l.most, heap())
}

func (l *live) start() { l.most, l.looks, l.base = 0, 0, heap() }

// used is how much it was.
func (l *live) used() int64 { return int64(l.most) - int64(l.base) }

// heap is what is in use: what can be collected is collected.

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// besides is what Make takes besides Memory.
const besides = 192 << 20

// What is in use while a delta is made and applied stays within what the options say, however large the file is. It is not
// parallel: all of the process is measured.
func TestMemory(t *testing.T) { //nolint:paralleltest // see above
	const size = 48 << 20
	watch := &live{}
	old, now := &endless{size: size, live: watch}, &endless{size: size, every: 1009, live: watch}
	sum := func(e *endless) tree.Digest {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(e, 0, size)); err != nil {
			t.Fatal(err)
		}
		return tree.Digest(h.Sum(nil))
	}
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Name: "a", Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	stream := func() io.Reader {
		return io.MultiReader(bytes.NewReader(head.Bytes()), io.NewSectionReader(now, 0, size),
			bytes.NewReader(make([]byte, 1024)))
	}
	id, err := digest.FromReader(stream())
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Tar: stream(), TarSize: int64(head.Len()) + size + 1024, DiffID: id,
		Entries: []tree.Entry{{Path: "a", Kind: tree.Regular, Size: size, Digest: sum(now)}}}
	seed := Seed{Files: []File{{Path: "a", Size: size, Digest: sum(old)}}}
	var delta bytes.Buffer
	const memory = 64 << 20
	watch.start()
	_, err = Make(t.Context(), &delta, target, seed,
		Options{Contents: old, Scratch: &onDisk{dir: t.TempDir(), live: watch}, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("made with %d MiB, looked at %d times", watch.used()>>20, watch.looks)
	if watch.used() > memory+besides || watch.looks < 8 {
		t.Errorf("making took %d bytes of %d, looked at %d times", watch.used(), memory+besides, watch.looks)
	}
	d, err := Open(&delta, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	watch.start()
	err = d.Apply(t.Context(), io.Discard,
		ApplyOptions{Contents: old, Scratch: &onDisk{dir: t.TempDir(), live: watch}, Memory: fixed + 16<<20})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("applied with %d MiB, looked at %d times", watch.used()>>20, watch.looks)
	if watch.used() > fixed+16<<20 || watch.looks < 8 {
		t.Errorf("applying took %d bytes of %d, looked at %d times", watch.used(), fixed+16<<20, watch.looks)
	}
}
