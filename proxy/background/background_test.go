package background

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/rechunk/rescue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counted is a group with what it told of panics.
func counted(t *testing.T) (g *Group, log *bytes.Buffer, seen *sync.Map) {
	log, seen = &bytes.Buffer{}, &sync.Map{}
	g = New(Options{Logger: slog.New(slog.NewTextHandler(log, nil)),
		Panicked: func(where string) { seen.Store(where, true) }})
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g, log, seen
}

// A panic costs the work that panicked, is logged with its stack and counted.
func TestPanics(t *testing.T) {
	t.Parallel()
	g, log, seen := counted(t)
	g.Go("loop", func(context.Context) { panic("in a goroutine") })
	g.GoRelying(t.Context(), "job", func(context.Context) { panic("in a job") })
	shared := NewShared[int](g, "fetch")
	var panicked *PanicError
	for range 2 { // the key is free again
		if _, err := shared.Do(t.Context(), "key", func(context.Context) (int, error) { panic("shared") }); !errors.As(err,
			&panicked) {
			t.Errorf("got %v", err)
		}
	}
	if n, err := shared.Do(t.Context(), "key", func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("after a panic: %d, %v", n, err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"loop", "job", "fetch"} {
		if _, ok := seen.Load(where); !ok {
			t.Errorf("the panic in %s was not counted", where)
		}
	}
	if !strings.Contains(log.String(), "background_test.go") {
		t.Error("no stack in the log")
	}
	if oldest, begun := g.Activity(); !oldest.IsZero() || begun != 1 {
		t.Errorf("activity %v, %d", oldest, begun)
	}
}

// A panic that a goroutine of the work has caught is logged and counted like its own, and once, however many catch it.
func TestCaughtPanics(t *testing.T) {
	t.Parallel()
	var counted []string
	var log strings.Builder
	g := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Panicked: func(where string) { counted = append(counted, where) }})
	err := g.Catch(t.Context(), "update", func() error {
		return g.Catch(t.Context(), "job", func() error {
			return fmt.Errorf("reading: %w", rescue.Call(func() error { panic("a layer") }))
		})
	})
	var p *PanicError
	if !errors.As(err, &p) || p.Where != "job" || len(counted) != 1 || counted[0] != "job" {
		t.Errorf("%v, counted %v", err, counted)
	}
	if n := strings.Count(log.String(), "background_test.go"); n == 0 || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("no stack, or logged twice:\n%s", log.String())
	}
}

// Work that begins while the group closes either is waited for or does not begin.
func TestBeginWhileClosing(t *testing.T) {
	t.Parallel()
	for range 100 {
		g := New(Options{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		closed, late := false, false
		for range 8 {
			wg.Go(func() {
				if done, ok := g.Begin(); ok {
					mu.Lock()
					late = late || closed
					mu.Unlock()
					done()
				}
			})
		}
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		closed = true
		mu.Unlock()
		wg.Wait()
		if late {
			t.Fatal("work ran after Close")
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	g := New(Options{Now: func() time.Time { return time.Unix(7, 0) }})
	gate := make(chan struct{})
	g.GoRelying(t.Context(), "job", func(ctx context.Context) {
		<-ctx.Done()
		<-gate
	})
	if oldest, begun := g.Activity(); !oldest.Equal(time.Unix(7, 0)) || begun != 1 {
		t.Errorf("activity %v, %d", oldest, begun)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := g.Close(left); !errors.Is(err, context.Canceled) {
		t.Errorf("work under way: %v", err)
	}
	close(gate)
	if err := errors.Join(g.Close(t.Context()), g.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if g.Go("late", func(context.Context) { t.Error("runs") }) ||
		g.GoRelying(t.Context(), "late", func(context.Context) { t.Error("runs") }) {
		t.Error("work began after Close")
	}
	if _, err := NewShared[int](g, "x").Do(t.Context(), "key", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("shared work after Close: %v", err)
	}
	if err := g.Explain(context.Canceled); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Who leaves does not end what others wait for.
func TestSharedGoesOn(t *testing.T) {
	t.Parallel()
	g, _, _ := counted(t)
	s := NewShared[int](g, "x")
	gate, running := make(chan struct{}), make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := s.Do(ctx, "key", func(ctx context.Context) (int, error) {
			close(running)
			<-gate
			return 3, ctx.Err()
		})
		first <- err
	}()
	<-running
	second := make(chan int)
	go func() {
		n, _ := s.Do(t.Context(), "key", func(context.Context) (int, error) { return 3, nil })
		second <- n
	}()
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(gate)
	if n := <-second; n != 3 {
		t.Errorf("got %d", n)
	}
}

// Work knows what whoever asked for it came with, and does not end with them.
func TestValuesStay(t *testing.T) {
	t.Parallel()
	g, _, _ := counted(t)
	type key struct{}
	asks, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	found := make(chan any, 2)
	look := func(ctx context.Context) {
		leave()
		if ctx.Err() != nil {
			t.Error("it ended with who asked")
		}
		found <- ctx.Value(key{})
	}
	g.GoRelying(asks, "job", look)
	_, _ = NewShared[int](g, "shared").Do(asks, "key", func(ctx context.Context) (int, error) {
		look(ctx)
		return 0, nil
	})
	for range 2 {
		if v := <-found; v != "value" {
			t.Errorf("got %v", v)
		}
	}
}
