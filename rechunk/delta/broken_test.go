package delta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/rechunk/rescue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty are Contents, Scratch, Encoders and a stream, one of which goes wrong after some time.
type faulty struct {
	files
	shop
	temp
	what string
	do   func() error
	mu   sync.Mutex
	left int
}

func (f *faulty) fault(what string) error {
	if f.what != what {
		return nil
	}
	f.mu.Lock()
	f.left--
	early := f.left >= 0
	f.mu.Unlock()
	if early {
		return nil
	}
	return f.do()
}

func (f *faulty) Open(ctx context.Context, file File) (Content, error) {
	if err := f.fault("open"); err != nil {
		return nil, err
	}
	c, err := f.files.Open(ctx, file)
	return faultyContent{c, f}, err
}

type faultyContent struct {
	Content
	f *faulty
}

func (c faultyContent) ReadAt(p []byte, off int64) (int, error) {
	if err := c.f.fault("read"); err != nil {
		return 0, err
	}
	return c.Content.ReadAt(p, off)
}

func (f *faulty) Create() (ScratchFile, error) {
	if err := f.fault("create"); err != nil {
		return nil, err
	}
	s, err := f.temp.Create()
	return faultyFile{s, f}, err
}

type faultyFile struct {
	ScratchFile
	f *faulty
}

func (s faultyFile) Write(p []byte) (int, error) {
	if err := s.f.fault("write"); err != nil {
		return 0, err
	}
	return s.ScratchFile.Write(p)
}

func (s faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := s.f.fault("read back"); err != nil {
		return 0, err
	}
	return s.ScratchFile.ReadAt(p, off)
}

func (f *faulty) Encode(ctx context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error {
	if err := f.fault("encode"); err != nil {
		return err
	}
	return f.shop.Encode(ctx, e, plain, wrapped)
}

// stream is what Make reads, and what Apply writes.
type stream struct {
	io.Reader
	io.Writer
	f *faulty
}

func (s stream) Read(p []byte) (int, error) {
	if err := s.f.fault("stream"); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

func (s stream) Write(p []byte) (int, error) {
	if err := s.f.fault("out"); err != nil {
		return 0, err
	}
	return s.Writer.Write(p)
}

var errFault = errors.New("no space left on device")

// faults are all that can go wrong around a delta: errors, panics, and the context's end.
func faults(t *testing.T, n uint64, run func(ctx context.Context, f *faulty) error) {
	t.Helper()
	for _, what := range []string{"open", "read", "create", "write", "read back", "encode", "stream", "out"} {
		for kind := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			f := &faulty{what: what, left: int(n) % 7}
			var struck atomic.Bool
			f.do = func() error {
				struck.Store(true)
				switch kind {
				case 1:
					panic("mistake")
				case 2:
					cancel()
					return nil
				}
				return fmt.Errorf("here: %w", errFault)
			}
			err := rescue.Call(func() error { return run(ctx, f) })
			cancel()
			var panicked *rescue.PanicError
			switch {
			case !struck.Load() && err != nil:
				t.Errorf("seed %d, nothing: %v", n, err)
			case struck.Load() && kind == 0 && what != "encode" && !errors.Is(err, errFault),
				struck.Load() && kind == 1 && !errors.As(err, &panicked):
				t.Errorf("seed %d, %s, %d: %v", n, what, kind, err)
			case struck.Load() && kind == 0 &&
				(what == "create" || what == "write" || what == "read back" || what == "out") &&
				known(err):
				t.Errorf("seed %d: what went wrong here (%s) is said to be the delta's fault: %v", n, what, err)
			}
			if f.open.Load() != 0 {
				t.Errorf("seed %d, %s, %d: %d temporary files are left", n, what, kind, f.open.Load())
			}
		}
	}
}

// Whatever goes wrong while a delta is made, it is what Make says, and nothing is left.
func TestMakeThatBreaksOff(t *testing.T) {
	t.Parallel()
	for n := range uint64(4) {
		s := newSeries(n)
		target, want := s.trees[1].target(t)
		faults(t, n, func(ctx context.Context, f *faulty) error {
			f.files = s.trees[0]
			target.Tar = stream{Reader: bytes.NewReader(want), f: f}
			_, err := Make(ctx, stream{Writer: io.Discard, f: f}, target, s.trees[0].seed(),
				Options{Contents: f, Scratch: f, Encoders: f, Memory: 1 << 20})
			return err
		})
	}
}

// Whatever goes wrong while a delta is applied, it is what Apply says, and nothing is left.
func TestApplyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for n := range uint64(8) {
		s := newSeries(n)
		target, _ := s.trees[1].target(t)
		delta, _ := made(t, target, s.trees[0], Options{Scratch: &temp{}, Encoders: shop{}})
		faults(t, n, func(ctx context.Context, f *faulty) error {
			f.files = s.trees[0]
			rest := &stream{Reader: bytes.NewReader(delta), Writer: io.Discard, f: &faulty{}}
			d, err := Open(rest, Limits{})
			if err != nil {
				return err
			}
			rest.f = f
			return d.Apply(ctx, rest,
				ApplyOptions{Contents: f, Scratch: f, Encoders: f, Memory: 1})
		})
	}
}
