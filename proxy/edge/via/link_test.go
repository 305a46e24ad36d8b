package via

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/rechunk/delta"
)

// slow are bytes that come at a pace.
type slow struct {
	r    io.Reader
	each time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.each)
	return s.r.Read(p[:min(len(p), 64<<10)])
}

func (slow) Close() error { return nil }

// What a link brings is measured where it is what takes the time, and no less is believed because a reader is slow.
func TestLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l link
		pull := func(bytes int, link, reader time.Duration) {
			m := &measured{ReadCloser: slow{strings.NewReader(strings.Repeat("x", bytes)), link}, link: &l, now: time.Now}
			for buf := make([]byte, 64<<10); ; {
				if _, err := m.Read(buf); err != nil {
					break
				}
				time.Sleep(reader)
			}
			_ = m.Close()
		}
		near := func(want float64) {
			t.Helper()
			if got, known := l.bytesPerSecond(); !known || got < want*.9 || got > want*1.1 {
				t.Errorf("%.0f bytes a second, known %t, want %.0f", got, known, want)
			}
		}
		if got, known := l.bytesPerSecond(); known || got != likelyRate {
			t.Error("a new link is known")
		}
		pull(1000, time.Second, 0) // says nothing
		if _, known := l.bytesPerSecond(); known {
			t.Error("a document tells the rate")
		}
		pull(4<<20, 64*time.Millisecond, 0)
		near(1 << 20 * 1000 / 1024)
		pull(4<<20, time.Millisecond, time.Second) // the reader is what takes the time
		near(1 << 20 * 1000 / 1024)
		for range 20 { // the link became slower
			pull(4<<20, 256*time.Millisecond, 0)
		}
		near(1 << 18 * 1000 / 1024)
	})
}

// A body is closed while it is read, as the one of a layer that nobody wants any more; its link is left once.
func TestCloseWhileRead(t *testing.T) {
	t.Parallel()
	var l link
	r, w := io.Pipe()
	m := &measured{ReadCloser: r, link: &l, now: time.Now}
	read := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, m)
		read <- err
	}()
	if _, err := w.Write(make([]byte, 2*leastSample)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if _, err := m.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) || l.open() != 1 {
		t.Errorf("%v, or the link is not left", err)
	}
	if _, known := l.bytesPerSecond(); !known {
		t.Error("what came says nothing of the link")
	}
}

// paced are encoders of a machine.
type paced float64

func (paced) Encode(context.Context, delta.Encoder, io.Reader, io.Writer) error { return nil }
func (paced) Available() []delta.Program                                        { return nil }
func (paced) Measure(context.Context) error                                     { return nil }
func (p paced) Pace() float64                                                   { return float64(p) }

// On a fast link, or with slow encoders, less is worth wrapping; where bytes count, all of it is.
func TestWorth(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate     float64
		pace     paced
		parallel int
		bytes    bool
		want     int64
	}{
		"modem":                {16 << 10, 1, 1, false, 0},
		"DSL":                  {1 << 20, 1, 1, false, 1 << 20},
		"DSL, slow machine":    {1 << 20, 5, 1, false, 4 << 20},
		"DSL, four processors": {1 << 20, 1, 4, false, 256 << 10},
		"LAN":                  {100 << 20, 1, 1, false, 16 << 20},
		"LAN, fewest bytes":    {100 << 20, 1, 1, true, 0},
		"nothing known":        {0, 1, 1, false, 4 << 20},
	} {
		s := New(Options{
			Encoders: tc.pace, Parallel: tc.parallel, Settings: func() Settings { return Settings{FewestBytes: tc.bytes} },
		})
		if got := s.worth(&link{rate: tc.rate}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if got := New(Options{}).worth(&link{rate: 1 << 20}); got != 0 {
		t.Errorf("without encoders: %d", got)
	}
}
