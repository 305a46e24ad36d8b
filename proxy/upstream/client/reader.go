package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/verify"
)

// enoughProgress is how many bytes a connection must deliver for the next break to count as the first one again.
const enoughProgress = 64 << 10

// A download that broke off is tried to be continued, while the upstream is out of reach, for this long and this often,
// each time with all attempts.
const (
	maxResume    = 30 * time.Second
	resumeRounds = 6
)

// maxStalls is how many connections of one download may fall silent or trickle: each holds its place for a while.
const maxStalls = 1

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
	stalls   int   // how often an upstream fell silent or trickled
	err      error
}

// reopen makes one attempt to open a body at pos.
func (r *resumingReader) reopen(ctx context.Context) error {
	b, err := r.open(ctx, r.pos)
	r.body, r.gained = b, 0
	return err
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
	if errors.Is(cause, upstream.ErrStalled) {
		r.stalls++
	}
	if r.breaks++; r.breaks >= r.session.host.attempts || r.stalls > maxStalls {
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

// reconnect is reopen, with the usual retries, for a body that was half delivered: whoever reads it waits more patiently
// than one who has nothing yet.
func (r *resumingReader) reconnect() error {
	began := r.session.client.options.Now()
	for round := 1; ; round++ {
		err := r.session.retry(r.ctx, r.op, r.reopen)
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

// verifiedBlob gives the mismatches of a verify.Reader this package's errors.
type verifiedBlob struct {
	*verify.Reader
	report func(error) error
	err    error // what was reported
}

// Read implements io.Reader.
func (v *verifiedBlob) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if errors.Is(err, verify.ErrMismatch) {
		if v.err == nil {
			v.err = v.report(fmt.Errorf("%w: %w", upstream.ErrVerify, err))
		}
		err = v.err
	}
	return n, err
}
