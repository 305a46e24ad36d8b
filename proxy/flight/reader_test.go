package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadersSeeBytesAsTheyArrive(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"announced": 100, "unknown": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, newMemorySink(), 0)
				data, key := content(100)
				src := newSource(data)
				src.gate, src.size = make(chan int), size
				r := mustOpen(t, g, key, src.fetch)
				buf := make([]byte, 40)
				src.gate <- 40
				if _, err := io.ReadFull(r, buf); err != nil || !bytes.Equal(buf, data[:40]) {
					t.Fatalf("first piece: %v", err)
				}

				rest := make(chan []byte, 1)
				go func() {
					b, err := io.ReadAll(r)
					if err != nil {
						t.Errorf("rest: %v", err)
					}
					rest <- b
				}()
				src.gate <- 60
				synctest.Wait()
				select {
				case <-rest:
					t.Fatal("the end was seen before the source ended")
				default:
				}
				close(src.gate)
				if got := <-rest; !bytes.Equal(got, data[40:]) {
					t.Error("rest differs")
				}
				r.Close()
			})
		})
	}
}

func TestLastByteWaitsForVerification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, newMemorySink(), 0)
		data, key := content(100)
		src := newSource(data)
		src.gate, src.end = make(chan int), errCorrupt
		r := mustOpen(t, g, key, src.fetch)
		src.gate <- 100
		if _, err := io.CopyN(io.Discard, r, 99); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() { _, err := r.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		close(src.gate)
		if err := <-failed; !errors.Is(err, errCorrupt) {
			t.Errorf("last byte: %v", err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errCorrupt) {
			t.Errorf("first byte after the failure: %v", err)
		}
		r.Close()
	})
}

func TestSlowReaderSlowsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := newMemorySink()
		g := newGroup(t, sink, 0)
		data, key := content(1 << 20)
		src := newSource(data)
		slow := mustOpen(t, g, key, src.fetch)
		readAll(t, mustOpen(t, g, key, src.fetch), data)
		if err := g.Wait(t.Context(), key, src.fetch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // the bubble's clock: the slow reader sits idle
		readAll(t, slow, data)
	})
}

func TestEndIsSeenBeforeCommit(t *testing.T) {
	t.Parallel()
	sink := newMemorySink()
	sink.commitGate = make(chan struct{})
	g := newGroup(t, sink, 0)
	data, key := content(1000)
	readAll(t, mustOpen(t, g, key, newSource(data).fetch), data) // a slow commit holds up no reader
	close(sink.commitGate)
}

func TestReaderEnds(t *testing.T) {
	t.Parallel()
	ways := map[string]struct {
		end  func(r *Reader, cancel context.CancelFunc)
		want error
	}{
		"close":   {func(r *Reader, _ context.CancelFunc) { r.Close() }, fs.ErrClosed},
		"context": {func(_ *Reader, cancel context.CancelFunc) { cancel() }, context.Canceled},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, newMemorySink(), 0)
			data, key := content(1000)
			src := newSource(data)
			src.gate, src.size = make(chan int), -1
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := g.Open(ctx, key, src.fetch)
			if err != nil {
				t.Fatal(err)
			}
			other := mustOpen(t, g, key, src.fetch)
			blocked := make(chan error, 1)
			go func() { _, err := r.Read(make([]byte, 1)); blocked <- err }()
			way.end(r, cancel)
			if err := <-blocked; !errors.Is(err, way.want) {
				t.Errorf("read: %v, want %v", err, way.want)
			}
			if _, err := r.Size(); !errors.Is(err, way.want) {
				t.Errorf("size: %v, want %v", err, way.want)
			}
			if err := r.Close(); err != nil {
				t.Errorf("close again: %v", err)
			}
			close(src.gate)
			readAll(t, other, data)
		})
	}
}

func TestSeek(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	data, key := content(1000)
	src := newSource(data)
	src.size = -1 // io.SeekEnd has to wait
	r := mustOpen(t, g, key, src.fetch)
	tests := []struct {
		offset int64
		whence int
		want   int64 // -1: error
	}{
		{-10, io.SeekEnd, 990}, {5, io.SeekStart, 5}, {5, io.SeekCurrent, 10}, {-11, io.SeekCurrent, -1},
		{0, 7, -1}, {-1, io.SeekStart, -1}, {2000, io.SeekStart, 2000}, {1<<63 - 1, io.SeekCurrent, -1},
	}
	for _, tc := range tests {
		got, err := r.Seek(tc.offset, tc.whence)
		if (err != nil) != (tc.want < 0) || err == nil && got != tc.want {
			t.Errorf("Seek(%d, %d) = %d, %v; want %d", tc.offset, tc.whence, got, err, tc.want)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read past the end: %d, %v", n, err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("empty read: %d, %v", n, err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	readAll(t, r, data)
}

func TestEmptyBlob(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, -1} {
		g := newGroup(t, newMemorySink(), 0)
		_, key := content(0)
		src := newSource(nil)
		src.size = size
		r := mustOpen(t, g, key, src.fetch)
		readAll(t, r, nil)
		if n, err := r.Size(); n != 0 || err != nil {
			t.Errorf("size %d, %v", n, err)
		}
	}
}

// Random readers at random offsets see exactly the content, however it arrives.
func TestRandomReaders(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		g := newGroup(t, newMemorySink(), 0)
		data, key := content(1 + rnd.IntN(600_000))
		src := newSource(data)
		src.gate = make(chan int)
		if rnd.IntN(2) == 0 {
			src.size = -1
		}
		var wg sync.WaitGroup
		for id := range uint64(12) {
			wg.Go(func() { readRandomly(t, g, src, key, data, rand.New(rand.NewPCG(seed, id))) })
		}
		for sent := 0; sent < len(data); {
			n := min(1+rnd.IntN(90_000), len(data)-sent)
			src.gate <- n
			sent += n
		}
		close(src.gate)
		wg.Wait()
		if err := g.Wait(t.Context(), key, src.fetch); err != nil {
			t.Fatal(err)
		}
	}
}

// readRandomly reads random ranges and gives some of its readers up half-way.
func readRandomly(t *testing.T, g *Group, src *source, key Key, data []byte, rnd *rand.Rand) {
	for range 4 {
		r, err := g.Open(t.Context(), key, src.fetch)
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		off := rnd.IntN(len(data))
		want := data[off:][:rnd.IntN(len(data)-off+1)]
		if _, err := r.Seek(int64(off), io.SeekStart); err != nil {
			t.Errorf("seek: %v", err)
		}
		got, err := io.ReadAll(io.LimitReader(r, int64(len(want))))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d of %d: error %v", len(want), off, len(data), err)
		}
		r.Close()
	}
}

// A reader is what http.ServeContent needs, and a failed verification cuts the reply short.
func TestServeContent(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	data, key := content(200_000)
	src := newSource(data)
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, err := g.Open(req.Context(), key, src.fetch)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer r.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, req, "", time.Time{}, r)
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	get := func(rng string) ([]byte, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			return nil, err
		}
		if rng != "" {
			req.Header.Set("Range", rng)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	if got, err := get("bytes=150000-150099"); err != nil || !bytes.Equal(got, data[150_000:150_100]) {
		t.Errorf("range: %d bytes, %v", len(got), err)
	}
	if got, err := get(""); err != nil || !bytes.Equal(got, data) {
		t.Errorf("all: %d bytes, %v", len(got), err)
	}

	src.end, src.gate = errCorrupt, make(chan int)
	go func() { src.gate <- len(data) }() // the headers come with the first bytes
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
		t.Fatal(err)
	}
	close(src.gate)
	if n, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("corrupt: %d bytes, %v", n, err)
	}
}

func BenchmarkReaders(b *testing.B) {
	data, key := content(16 << 20)
	for b.Loop() {
		g := newGroup(b, newMemorySink(), 0)
		src := newSource(data)
		b.SetBytes(4 * int64(len(data)))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r, err := g.Open(b.Context(), key, src.fetch)
				if err != nil {
					b.Error(err)
					return
				}
				defer r.Close()
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if err := g.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
