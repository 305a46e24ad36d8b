package transport

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// body is a response body that counts bytes and gives up when none come for the host's timeout.
type body struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the request's own, which the body lives in
	cancel context.CancelCauseFunc
	timer  *time.Timer
	free   func() // lets another blob be downloaded
	host   *Host
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.host.timeout)
	n, err := b.ReadCloser.Read(b.host.limits.chunk(p))
	b.timer.Stop()
	if n > 0 {
		b.host.options.Observer.Bytes(b.host.name, n)
	}
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), upstream.ErrStalled) {
		err = upstream.ErrStalled
	}
	if waitErr := b.host.limits.take(b.ctx, n); err == nil {
		err = waitErr
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	defer b.free()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// Discard reads the rest of a small body, so that its connection can be used again, and closes it.
func Discard(b io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(b, 16<<10)) // a failure only costs the connection
	_ = b.Close()
}
