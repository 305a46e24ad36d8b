package delta

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

// held gives the first bytes of a delta, and the others once something was written.
type held struct {
	first, rest io.Reader
	written     chan struct{}
	once        sync.Once
}

func (h *held) Read(p []byte) (int, error) {
	if n, err := h.first.Read(p); err == nil {
		return n, nil
	}
	<-h.written
	return h.rest.Read(p)
}

func (h *held) Write(p []byte) (int, error) {
	h.once.Do(func() { close(h.written) })
	return len(p), nil
}

// The first bytes of a layer are made of the first few of its delta, however large both are: what holds them back ends in a
// deadlock here.
func TestFirstBytes(t *testing.T) {
	t.Parallel()
	const most = 160 << 10
	same := noise(1<<20, 1)
	for name, now := range map[string][]byte{
		"new bytes":   noise(5<<20, 2),
		"differences": program(5<<20, true),
		"old bytes":   bytes.Repeat(same, 8),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := files{"usr/bin/a": program(5<<20, false), "usr/lib/b": bytes.Repeat(same, 8)}
			target, _ := files{"usr/bin/a": now, "usr/lib/c": noise(5<<20, 3)}.target(t)
			delta, _ := made(t, target, old, Options{Scratch: &temp{}})
			if len(delta) < most {
				t.Fatalf("the delta has only %d bytes", len(delta))
			}
			synctest.Test(t, func(t *testing.T) {
				h := &held{first: bytes.NewReader(delta[:most]), rest: bytes.NewReader(delta[most:]),
					written: make(chan struct{})}
				d, err := Open(h, Limits{})
				if err == nil {
					err = d.Apply(t.Context(), h, ApplyOptions{Contents: old, Scratch: &temp{}})
				}
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}
