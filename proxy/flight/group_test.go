package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestManyReadersOneFetch(t *testing.T) {
	t.Parallel()
	sink := newMemorySink()
	g := newGroup(t, sink, 0)
	data, key := content(1 << 20)
	src := newSource(data)
	src.answer = make(chan struct{})

	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			r, err := g.Open(t.Context(), key, src.fetch)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %d bytes, error %v", len(got), err)
			}
		})
	}
	// The source answers when all are aboard.
	for joined := 0; joined < 101; {
		g.mu.Lock()
		if f := g.flights[key]; f != nil {
			joined = f.refs
		}
		g.mu.Unlock()
		runtime.Gosched()
	}
	close(src.answer)
	wg.Wait()
	if n := src.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sink.get(key), data) {
		t.Error("the sink has other bytes")
	}
}

func TestDownloadGoesOnWithoutReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := newMemorySink()
		g := newGroup(t, sink, 0)
		data, key := content(1000)
		src := newSource(data)
		src.gate = make(chan int)

		ctx, cancel := context.WithCancel(t.Context())
		if _, err := g.Open(ctx, key, src.fetch); err != nil { // never closed: the context's end does it
			t.Fatal(err)
		}
		src.gate <- 500
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := g.Running(); len(got) != 1 {
			t.Fatalf("running: %v", got)
		}
		close(src.gate)
		synctest.Wait()
		if !bytes.Equal(sink.get(key), data) {
			t.Error("the blob was not stored")
		}
		if got := g.Running(); len(got) != 0 {
			t.Errorf("still running: %v", got)
		}
	})
}

func TestLateOpenReusesFinishedFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, newMemorySink(), 0)
		data, key := content(5000)
		src := newSource(data)
		first := mustOpen(t, g, key, src.fetch)
		if err := g.Wait(t.Context(), key, src.fetch); err != nil {
			t.Fatal(err)
		}
		want := []Progress{{Key: key, Written: 5000, Size: 5000, Done: true}}
		if diff := cmp.Diff(want, g.Running()); diff != "" {
			t.Error(diff)
		}
		second := mustOpen(t, g, key, src.fetch)
		readAll(t, second, data)
		readAll(t, first, data)
		if n := src.fetches.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		first.Close()
		second.Close()
		mustOpen(t, g, key, src.fetch)
		if n := src.fetches.Load(); n != 2 {
			t.Errorf("%d fetches after the last reader left, want 2", n)
		}
	})
}

func TestFailuresReachReadersAndAreForgotten(t *testing.T) {
	t.Parallel()
	data, key := content(300_000)
	tests := []struct {
		name   string
		spoil  func(*source)
		limit  int64
		target error
		text   string
	}{
		{name: "wrong bytes", spoil: func(s *source) { s.end = errCorrupt }, target: errCorrupt},
		{name: "wrong bytes of unknown size", spoil: func(s *source) { s.end, s.size = errCorrupt, -1 }, target: errCorrupt},
		{name: "short", spoil: func(s *source) { s.size++ }, target: io.ErrUnexpectedEOF},
		{name: "long", spoil: func(s *source) { s.size-- }, text: "more than the announced 299999 bytes"},
		{name: "limit announced", spoil: func(*source) {}, limit: 299_999, target: ErrTooLarge},
		{name: "limit found out", spoil: func(s *source) { s.size = -1 }, limit: 299_999, target: ErrTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sink := newMemorySink()
			g := newGroup(t, sink, tc.limit)
			bad := newSource(data)
			tc.spoil(bad)
			check := func(err error) {
				t.Helper()
				if err == nil || tc.target != nil && !errors.Is(err, tc.target) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %v, want %v %q", err, tc.target, tc.text)
				}
			}
			r, err := g.Open(t.Context(), key, bad.fetch)
			if err != nil {
				check(err)
			} else {
				got, err := io.ReadAll(r)
				check(err)
				if bad.size >= 0 && int64(len(got)) >= bad.size {
					t.Error("the whole of an unverified blob was readable")
				}
				r.Close()
			}
			check(g.Wait(t.Context(), key, bad.fetch))
			if sink.get(key) != nil {
				t.Error("an unverified blob was stored")
			}
			if tc.limit == 0 {
				readAll(t, mustOpen(t, g, key, newSource(data).fetch), data)
			}
		})
	}
}

func TestFetchErrors(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	_, key := content(10)
	notFound := errors.New("404")
	fail := func(err error) Fetch {
		return func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, err }
	}
	if _, err := g.Open(t.Context(), key, fail(notFound)); !errors.Is(err, notFound) {
		t.Errorf("open: %v", err)
	}
	if err := g.Wait(t.Context(), key, fail(notFound)); !errors.Is(err, notFound) {
		t.Errorf("wait: %v", err)
	}
	if _, err := g.Open(t.Context(), key, fail(ErrStored)); !errors.Is(err, ErrStored) {
		t.Errorf("open of a stored blob: %v", err)
	}
	if err := g.Wait(t.Context(), key, fail(ErrStored)); err != nil {
		t.Errorf("wait for a stored blob: %v", err)
	}
}

func TestSinkFailureDoesNotFailReaders(t *testing.T) {
	t.Parallel()
	data, key := content(400_000)
	full := errors.New("disk full")
	for name, sink := range map[string]*memorySink{
		"create": {createErr: full}, "write": {writeErr: full}, "commit": {commitErr: full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink.blobs = make(map[digest.Digest][]byte)
			g := newGroup(t, sink, 0)
			src := newSource(data)
			r := mustOpen(t, g, key, src.fetch)
			if err := g.Wait(t.Context(), key, src.fetch); !errors.Is(err, full) {
				t.Errorf("wait: %v", err)
			}
			readAll(t, r, data)
			late := mustOpen(t, g, key, src.fetch) // from the temporary file still
			readAll(t, late, data)
			if n := src.fetches.Load(); n != 1 {
				t.Errorf("%d fetches, want 1", n)
			}
			// Whoever needs it stored has it offered to the sink again, without another download.
			if err := g.Wait(t.Context(), key, src.fetch); !errors.Is(err, full) {
				t.Errorf("second wait: %v", err)
			}
			sink.createErr, sink.writeErr, sink.commitErr = nil, nil, nil
			if err := g.Wait(t.Context(), key, src.fetch); err != nil || !bytes.Equal(sink.get(key), data) {
				t.Errorf("third wait: %v", err)
			}
			if n := src.fetches.Load(); n != 1 {
				t.Errorf("%d fetches, want 1", n)
			}
			r.Close()
			late.Close()
		})
	}
}

func TestFullWorkDirectory(t *testing.T) {
	t.Parallel()
	sink := newMemorySink()
	g := newGroup(t, sink, 0)
	data, key := content(1000)
	src := newSource(data)
	src.gate = make(chan int)
	r := mustOpen(t, g, key, src.fetch)
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs /dev/full:", err)
	}
	src.gate <- 10
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.flight.spool.file.Swap(full).Close(); err != nil {
		t.Fatal(err)
	}
	close(src.gate)
	if _, err := io.ReadAll(r); !errors.Is(err, ErrNoSpace) {
		t.Errorf("read: %v, want ErrNoSpace", err)
	}
	if sink.get(key) != nil {
		t.Error("blob was stored")
	}
}

func TestMissingWorkDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	data, key := content(1)
	g := New(Options{WorkDir: dir + "/file/gone", Sink: newMemorySink()})
	if err := g.Wait(t.Context(), key, newSource(data).fetch); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("wait: %v", err)
	}
	g = newGroup(t, newMemorySink(), 0)
	g.opts.WorkDir = dir + "/gone"
	readAll(t, mustOpen(t, g, key, newSource(data).fetch), data) // it is made again
}

// Downloads may have so many bytes together, as they come and whatever sizes are announced; one alone may have more.
func TestSpoolBytes(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	g.opts.Space = workspace.New(1500)
	held, first := content(1000)
	src := newSource(held)
	src.gate = make(chan int)
	r := mustOpen(t, g, first, src.fetch)
	data, second := content(2000)
	if err := g.Wait(t.Context(), second, newSource(data).fetch); err != nil {
		t.Errorf("beside a blob that has no byte yet: %v", err)
	}
	src.gate <- 900
	if _, err := io.ReadFull(r, make([]byte, 900)); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context(), second, newSource(data).fetch); !errors.Is(err, ErrNoSpace) {
		t.Errorf("beyond the bound: %v, want ErrNoSpace", err)
	}
	close(src.gate)
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := g.Wait(t.Context(), second, newSource(data).fetch); err != nil {
		t.Errorf("alone: %v", err)
	}
}

func TestWorkDirectoryHoldsNoNames(t *testing.T) {
	t.Parallel()
	g := newGroup(t, newMemorySink(), 0)
	data, key := content(1000)
	src := newSource(data)
	src.gate = make(chan int)
	mustOpen(t, g, key, src.fetch)
	names, err := os.ReadDir(g.opts.WorkDir)
	if err != nil || len(names) != 0 {
		t.Errorf("%v, error %v", names, err)
	}
	close(src.gate)
}

func TestCloseCancelsDownloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := newMemorySink()
		g := newGroup(t, sink, 0)
		done, doneKey := content(10)
		finished := mustOpen(t, g, doneKey, newSource(done).fetch)
		synctest.Wait()
		data, key := content(1000)
		src := newSource(data)
		src.gate = make(chan int)
		r := mustOpen(t, g, key, src.fetch)
		src.gate <- 10

		waited := make(chan error, 1)
		go func() { waited <- g.Wait(context.Background(), key, src.fetch) }()
		synctest.Wait()
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("wait: %v", err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if _, err := g.Open(t.Context(), key, src.fetch); !errors.Is(err, ErrClosed) {
			t.Errorf("open: %v", err)
		}
		readAll(t, finished, done)
		if cancelled, _ := sink.counts(); cancelled != 1 {
			t.Errorf("%d sink writers cancelled, want 1", cancelled)
		}
		r.Close()
		finished.Close()
	})
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	g := New(Options{WorkDir: t.TempDir(), Sink: newMemorySink()})
	_, key := content(10)
	release := make(chan struct{})
	deaf := func(context.Context) (io.ReadCloser, int64, error) {
		<-release
		return nil, 0, errors.New("too late")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Open(ctx, key, deaf); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if err := g.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	close(release)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUnseenFailureIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := New(Options{WorkDir: t.TempDir(), Sink: newMemorySink(), Logger: slog.New(slog.NewTextHandler(&out, nil))})
		data, key := content(100)
		src := newSource(data)
		src.gate, src.end = make(chan int), errCorrupt
		r := mustOpen(t, g, key, src.fetch)
		src.gate <- 1
		synctest.Wait()
		r.Close()
		close(src.gate)
		synctest.Wait()
		if !strings.Contains(out.String(), "download failed after its readers had left") {
			t.Errorf("log: %q", out.String())
		}
	})
}
