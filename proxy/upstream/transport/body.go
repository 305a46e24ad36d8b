package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// body is the body of an answer. It counts bytes, keeps to the bandwidth, and gives up when the other side falls silent
// or only trickles. Closing it gives back what the exchange holds.
type body struct {
	io.ReadCloser
	cause   func() error      // why the exchange ended, or nil
	take    func(n int) error // waits for the host's bandwidth
	cancel  context.CancelCauseFunc
	silence *time.Timer
	// patience is how long it may be silent.
	patience time.Duration
	pace     pace
	host     *Host
	release  func()
}

// newBody wraps the body of an answer. cancel ends the exchange that ctx belongs to.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response, h *Host, release func()) *body {
	patience := h.timeout
	if p := classOfRequest(ctx).patience; p > 0 {
		patience = p
	}
	silence := time.AfterFunc(patience, func() { cancel(upstream.ErrStalled) })
	silence.Stop()
	return &body{
		ReadCloser: resp.Body, cancel: cancel, release: release,
		cause:   func() error { return context.Cause(ctx) },
		take:    func(n int) error { return h.limits.take(ctx, n) },
		silence: silence, patience: patience, pace: pace{least: h.minRate, window: max(paceWindow, patience)}, host: h,
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	began := b.host.options.Now()
	b.silence.Reset(b.patience)
	n, err := b.ReadCloser.Read(b.host.limits.chunk(p))
	b.silence.Stop()
	if n > 0 {
		b.host.options.Observer.Bytes(b.host.name, n)
	}
	if err != nil && err != io.EOF && errors.Is(b.cause(), upstream.ErrStalled) {
		err = fmt.Errorf("%w: nothing came for %s", upstream.ErrStalled, b.patience)
	}
	if slow := b.pace.add(n, b.host.options.Now().Sub(began)); err == nil {
		err = slow
	}
	if waitErr := b.take(n); err == nil {
		err = waitErr
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.silence.Stop()
	defer b.release()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// paceWindow is the time of waiting for bytes over which their rate is measured, unless patience is greater.
const paceWindow = time.Minute

// pace measures how fast a body comes while somebody waits for it: a slow reader is not held against the sender.
type pace struct {
	least  int64 // bytes in a second
	window time.Duration
	got    int64
	waited time.Duration
}

// add notes that n bytes came after some waiting. At the end of a window that brought too little it returns an error that
// wraps upstream.ErrStalled.
func (p *pace) add(n int, waited time.Duration) error {
	p.got += int64(n)
	if p.waited += max(waited, 0); p.waited < p.window {
		return nil
	}
	got, took := p.got, p.waited
	p.got, p.waited = 0, 0
	if float64(got) >= float64(p.least)*took.Seconds() {
		return nil
	}
	return fmt.Errorf("%w: %d bytes in %s are less than %d a second",
		upstream.ErrStalled, got, took.Round(time.Second), p.least)
}

// maxDiscarded is how large a body may be that is read for nothing but its connection.
const maxDiscarded = 16 << 10

// Discard closes the body of an answer that nobody wants. One that may be small is read to its end first, so that its
// connection can be used again.
func Discard(resp *http.Response) {
	if resp.ContentLength <= maxDiscarded {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDiscarded)) // a failure only costs the connection
	}
	_ = resp.Body.Close()
}
