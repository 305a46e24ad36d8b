package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errCorrupt is what a source says at the end of wrong bytes.
var errCorrupt = errors.New("digest mismatch")

// content returns n pseudo-random bytes and their digest.
func content(n int) ([]byte, Key) {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b) // never fails
	return b, Key{Scope: "registry.test/a", Digest: digest.FromBytes(b)}
}

// source is a Fetch over bytes. It sends the pieces that come through gate, or everything at once when gate is nil.
type source struct {
	data    []byte
	size    int64         // announced
	end     error         // instead of io.EOF
	gate    chan int      // lengths of the pieces; closed: the rest
	answer  chan struct{} // if set, fetch waits for it to close
	fetches atomic.Int32
}

func newSource(data []byte) *source { return &source{data: data, size: int64(len(data)), end: io.EOF} }

func (s *source) fetch(ctx context.Context) (io.ReadCloser, int64, error) {
	s.fetches.Add(1)
	if s.answer != nil {
		select {
		case <-s.answer:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return &sourceBody{ctx: ctx, source: s, rest: s.data}, s.size, nil
}

type sourceBody struct {
	ctx    context.Context
	source *source
	rest   []byte
	piece  int
	open   bool // no gate any more
}

func (b *sourceBody) Read(p []byte) (int, error) {
	if b.piece == 0 && !b.open && b.source.gate != nil {
		select {
		case n, ok := <-b.source.gate:
			b.piece, b.open = n, !ok
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	if len(b.rest) == 0 {
		return 0, b.source.end
	}
	n := min(len(p), len(b.rest))
	if b.piece > 0 {
		n = min(n, b.piece)
		b.piece -= n
	}
	copy(p, b.rest[:n])
	b.rest = b.rest[n:]
	return n, nil
}

func (b *sourceBody) Close() error { return nil }

// memorySink keeps blobs in memory and can be told to fail.
type memorySink struct {
	createErr, writeErr, commitErr error
	commitGate                     chan struct{} // if set, Commit waits for it to close

	mu        sync.Mutex
	blobs     map[digest.Digest][]byte
	cancelled int
	open      int
}

func newMemorySink() *memorySink { return &memorySink{blobs: make(map[digest.Digest][]byte)} }

func (s *memorySink) Create(_ context.Context, d digest.Digest) (Writer, error) {
	if s.createErr != nil {
		return nil, s.createErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return &memoryWriter{sink: s, d: d}, nil
}

func (s *memorySink) get(key Key) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[key.Digest]
}

// counts returns how many writers were cancelled and how many are neither committed nor cancelled.
func (s *memorySink) counts() (cancelled, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelled, s.open
}

type memoryWriter struct {
	sink *memorySink
	d    digest.Digest
	buf  bytes.Buffer
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.sink.writeErr != nil {
		return 0, w.sink.writeErr
	}
	return w.buf.Write(p)
}

func (w *memoryWriter) Open() (*os.File, error) { return nil, nil }

func (w *memoryWriter) Commit(ctx context.Context) error {
	if w.sink.commitGate != nil {
		select {
		case <-w.sink.commitGate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if w.sink.commitErr != nil {
		return w.sink.commitErr
	}
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	w.sink.blobs[w.d] = w.buf.Bytes()
	w.sink.open--
	return nil
}

func (w *memoryWriter) Cancel(context.Context) error {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	w.sink.cancelled++
	w.sink.open--
	return nil
}

// newGroup returns a Group that the test closes at its end, and checks that every sink writer was ended.
func newGroup(t testing.TB, sink *memorySink, maxBytes int64) *Group {
	t.Helper()
	g := New(Options{WorkDir: t.TempDir(), Sink: sink, MaxBytes: maxBytes})
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, open := sink.counts(); open != 0 {
			t.Errorf("%d sink writers left open", open)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.flights) != 0 {
			t.Errorf("%d flights left", len(g.flights))
		}
	})
	return g
}

// mustOpen opens a reader that the test closes at its end.
func mustOpen(t *testing.T, g *Group, key Key, fetch Fetch) *Reader {
	t.Helper()
	r, err := g.Open(t.Context(), key, fetch)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// readAll reads the rest and compares it.
func readAll(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes that differ from the %d wanted", len(got), len(want))
	}
}
