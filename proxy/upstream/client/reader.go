package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// enoughProgress is how many bytes a connection must deliver for the next break to count as the first one again.
const enoughProgress = 64 << 10

// A download that broke off is tried to be continued, while the upstream is out of reach, for this long and this often, each time
// with all attempts.
const (
	maxResume    = 30 * time.Second
	resumeRounds = 6
)

// errClosed is what reading from a closed reader gives.
var errClosed = errors.New("read after close")

// resumingReader delivers bytes from pos to end over as many connections as it takes. It is not safe for concurrent use.
type resumingReader struct {
	ctx     context.Context //nolint:containedctx // reads have no context of their own
	session *session
	op      string
	open    func(ctx context.Context, pos int64) (io.ReadCloser, error)

	pos, end int64 // end is -1 when it is not known
	body     io.ReadCloser
	gained   int64 // since the last connection was made
	breaks   int   // in a row, without enough progress between them
	err      error
}

// connect opens a body at pos, with the usual retries.
func (r *resumingReader) connect() error {
	return r.session.retry(r.ctx, r.op, func(ctx context.Context) error {
		b, err := r.open(ctx, r.pos)
		r.body, r.gained = b, 0
		return err
	})
}

// Read implements io.Reader. Its errors are *upstream.Error or wrap the context's.
func (r *resumingReader) Read(p []byte) (int, error) {
	for {
		if r.err != nil {
			return 0, r.err
		}
		n, err := r.body.Read(p)
		r.pos += int64(n)
		r.gained += int64(n)
		switch {
		case err == nil:
			return n, nil
		case r.end >= 0 && r.pos >= r.end, r.end < 0 && err == io.EOF:
			r.err = io.EOF
			return n, io.EOF
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.err = r.resume(err)
		if n > 0 {
			return n, nil
		}
	}
}

// resume replaces a broken body. It returns an error when that is hopeless.
func (r *resumingReader) resume(cause error) error {
	_ = r.body.Close() // it is broken already
	err := r.session.fail(r.ctx, r.op, cause)
	var e *upstream.Error
	if !errors.As(err, &e) {
		return err
	}
	r.session.client.options.Observer.Error(e.Host, e.Kind)
	if r.gained >= enoughProgress {
		r.breaks = 0
	}
	if r.breaks++; r.breaks >= r.session.host.attempts {
		return err
	}
	r.session.client.options.Logger.LogAttrs(r.ctx, slog.LevelInfo, "upstream broke off, resuming",
		slog.String("error", e.Error()), slog.Int64("at", r.pos))
	if r.breaks > 1 {
		if err := r.pause(r.breaks - 1); err != nil {
			return err
		}
	}
	return r.reconnect()
}

// reconnect is connect for a body that was half delivered: whoever reads it waits more patiently than one who has nothing yet.
func (r *resumingReader) reconnect() error {
	began := r.session.client.options.Now()
	for round := 1; ; round++ {
		err := r.connect()
		var e *upstream.Error
		if err == nil || !errors.As(err, &e) || !e.Transient() || e.RetryAfter > maxResume ||
			round == resumeRounds || r.session.client.options.Now().Sub(began) >= maxResume {
			return err
		}
		if err := r.pause(round + 4); err != nil {
			return err
		}
	}
}

// pause waits as long as is usual after a number of failures.
func (r *resumingReader) pause(failures int) error {
	err := r.session.client.options.Sleep(r.ctx, backoff(r.session.host.backoff, failures))
	return r.session.fail(r.ctx, r.op, err)
}

// Close implements io.Closer.
func (r *resumingReader) Close() error {
	if errors.Is(r.err, errClosed) {
		return nil
	}
	r.err = errClosed
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// verifyingReader passes on what it reads and, before it says io.EOF, makes sure that it was right.
type verifyingReader struct {
	inner    io.ReadCloser
	want     digest.Digest
	verifier digest.Verifier // nil: the size alone counts
	size     int64           // -1 when it is not known
	read     int64
	report   func(error) error
	err      error
}

// Read implements io.Reader. It never delivers more bytes than the size.
func (v *verifyingReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.inner.Read(p)
	if surplus := v.read + int64(n) - v.size; v.size >= 0 && surplus > 0 {
		n -= int(surplus)
		err = v.report(fmt.Errorf("%w: more than the expected %d bytes", upstream.ErrVerify, v.size))
	}
	v.read += int64(n)
	if v.verifier != nil {
		_, _ = v.verifier.Write(p[:n]) // a hash does not fail
	}
	if err == io.EOF {
		err = v.verdict()
	}
	v.err = err
	return n, err
}

// verdict returns io.EOF when everything is as it should be.
func (v *verifyingReader) verdict() error {
	switch {
	case v.size >= 0 && v.read != v.size:
		return v.report(fmt.Errorf("%w: %d bytes, not %d", upstream.ErrVerify, v.read, v.size))
	case v.verifier != nil && !v.verifier.Verified():
		return v.report(fmt.Errorf("%w: the blob is not %s", upstream.ErrVerify, v.want))
	default:
		return io.EOF
	}
}

// Close implements io.Closer.
func (v *verifyingReader) Close() error {
	if v.err == nil {
		v.err = errClosed
	}
	return v.inner.Close()
}
