package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/workspace"
)

// Requests that are given up before the first byte leave nothing: no download, no file.
func TestAbandonedBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"before the answer": false, "after the answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink := newMemorySink()
				g := newGroup(t, sink, 0)
				data, key := content(1000)
				src := newSource(data)
				src.gate, src.answer = make(chan int), make(chan struct{})
				if answered {
					close(src.answer)
				}
				ctx, cancel := context.WithCancel(t.Context())
				for range 10 {
					go func() { _, _ = g.Open(ctx, key, src.fetch) }()
				}
				synctest.Wait()
				if f := g.flights[key]; f == nil || f.spool.file.Load() != nil {
					t.Fatalf("before the first byte: %+v", f)
				}
				cancel()
				synctest.Wait()
				if got := g.Running(); len(got) != 0 {
					t.Errorf("still running: %v", got)
				}
				if cancelled, open := sink.counts(); cancelled != 0 || open != 0 {
					t.Errorf("%d sink writers cancelled, %d open", cancelled, open)
				}
			})
		})
	}
}

// A download that nobody waits for any more is finished when that is cheap.
func TestWhatIsWorthFinishing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size, written int64
		verified      bool
		want          bool
	}{
		"nothing there":    {size: 10},
		"one byte there":   {size: 10, written: 1, want: true}, // little is left
		"large":            {size: 100 << 20, written: 49 << 20},
		"half there":       {size: 100 << 20, written: 50 << 20, want: true},
		"16 MiB left":      {size: 20 << 20, written: 4 << 20, want: true},
		"more is left":     {size: 20 << 20, written: 4<<20 - 1},
		"unknown size":     {size: -1, written: 100 << 20},
		"all there":        {size: 10, written: 10, verified: true, want: true},
		"empty and stored": {verified: true, want: true},
	} {
		f := &flight{size: c.size, written: c.written, verified: c.verified}
		if f.worthFinishing() != c.want {
			t.Errorf("%s: %t", name, !c.want)
		}
	}
}

func TestAbandonedHalfWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := newMemorySink()
		g := newGroup(t, sink, 0)
		data, key := content(1000)
		src := newSource(data)
		src.size, src.gate = -1, make(chan int)
		r := mustOpen(t, g, key, src.fetch)
		src.gate <- 500
		synctest.Wait()
		r.Close()
		time.Sleep(grace - time.Second)
		mustOpen(t, g, key, src.fetch).Close() // somebody comes back, and leaves
		time.Sleep(grace - time.Second)
		if got := g.Running(); len(got) != 1 || src.fetches.Load() != 1 {
			t.Errorf("%d downloads, running: %v", src.fetches.Load(), got)
		}
		time.Sleep(2 * time.Second)
		if got := g.Running(); len(got) != 0 {
			t.Errorf("still running: %v", got)
		}
		if cancelled, open := sink.counts(); cancelled != 1 || open != 0 {
			t.Errorf("%d sink writers cancelled, %d open", cancelled, open)
		}
	})
}

// A slow source of one scope holds up nobody else who wants the same digest.
func TestScopesShareNoDownload(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	data, key := content(1000)
	slow := newSource(data)
	slow.gate = make(chan int)
	mustOpen(t, g, key, slow.fetch)
	other := Key{Scope: "registry.test/b", Digest: key.Digest}
	readAll(t, mustOpen(t, g, other, newSource(data).fetch), data)
	if _, known := g.Size(Key{Scope: "registry.test/c", Digest: key.Digest}); known {
		t.Error("the size is known in a scope that has no download")
	}
	close(slow.gate)
}

// fileSink keeps blobs in files that can be read while they are written.
type fileSink struct {
	dir      string
	failAt   int64 // a Write beyond it fails; 0: none
	creates  int
	finished []string
}

func (s *fileSink) Create(context.Context, digest.Digest) (Writer, error) {
	s.creates++
	f, err := os.CreateTemp(s.dir, "sink-")
	return &fileSinkWriter{File: f, sink: s}, err
}

type fileSinkWriter struct {
	*os.File
	sink *fileSink
	size int64
}

var errSinkFull = errors.New("sink is full")

func (w *fileSinkWriter) Write(p []byte) (int, error) {
	if at := w.sink.failAt; at > 0 && w.size+int64(len(p)) > at {
		n, _ := w.File.Write(p[:len(p)/2])
		return n, errSinkFull
	}
	n, err := w.File.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *fileSinkWriter) Open() (*os.File, error) { return os.Open(w.Name()) }

func (w *fileSinkWriter) Commit(context.Context) error {
	w.sink.finished = append(w.sink.finished, w.Name()+".blob")
	return errors.Join(w.Close(), os.Rename(w.Name(), w.Name()+".blob"))
}

func (w *fileSinkWriter) Cancel(context.Context) error {
	return errors.Join(w.Close(), os.Remove(w.Name()))
}

// Readers read the file that becomes the blob; there is no second one, and its bytes count until they are stored.
func TestReadersFollowTheSinksFile(t *testing.T) {
	t.Parallel()
	sink := &fileSink{dir: t.TempDir()}
	space := workspace.New(1 << 20)
	g := New(Options{WorkDir: t.TempDir(), Sink: sink, Space: space})
	data, key := content(300_000)
	src := newSource(data)
	src.gate = make(chan int)
	r := mustOpen(t, g, key, src.fetch)
	src.gate <- 100_000
	if _, err := io.ReadFull(r, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if f := r.flight.spool.file.Load(); filepath.Dir(f.Name()) != sink.dir {
		t.Errorf("reads %s", f.Name())
	}
	if n := space.Used(); n != 100_000 {
		t.Errorf("%d bytes are booked", n)
	}
	close(src.gate)
	readAll(t, r, data[100_000:])
	if err := g.Wait(t.Context(), key, src.fetch); err != nil {
		t.Fatal(err)
	}
	if n := space.Used(); n != 0 {
		t.Errorf("%d bytes are booked for a stored blob", n)
	}
	if got, err := os.ReadFile(sink.finished[0]); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	readAll(t, mustOpen(t, g, key, src.fetch), data) // of the file that has another name now
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// When the sink's file fails, readers go on in a file of their own, with what they have read and what they have not.
func TestSinksFileFails(t *testing.T) {
	t.Parallel()
	sink := &fileSink{dir: t.TempDir(), failAt: 150_000}
	g := New(Options{WorkDir: t.TempDir(), Sink: sink})
	data, key := content(300_000)
	src := newSource(data)
	src.gate = make(chan int)
	early := mustOpen(t, g, key, src.fetch)
	src.gate <- 100_000
	if _, err := io.ReadFull(early, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	close(src.gate)
	readAll(t, early, data[50_000:])
	readAll(t, mustOpen(t, g, key, src.fetch), data)
	if err := g.Wait(t.Context(), key, src.fetch); !errors.Is(err, errSinkFull) {
		t.Errorf("wait: %v", err)
	}
	// Who came before the first download had ended joined it, so that there were one or two writers until now.
	before := sink.creates
	sink.failAt = 0
	if err := g.Wait(t.Context(), key, src.fetch); err != nil || len(sink.finished) != 1 || sink.creates != before+1 {
		t.Errorf("again: %v, %d writers after %d", err, sink.creates, before)
	}
	if got, err := os.ReadFile(sink.finished[0]); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPanicOfASource(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	_, key := content(10)
	_, err := g.Open(t.Context(), key, func(context.Context) (io.ReadCloser, int64, error) { panic("hostile") })
	if err == nil || !strings.Contains(err.Error(), "hostile") {
		t.Errorf("%v", err)
	}
}
