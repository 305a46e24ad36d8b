package via

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/delta"
	layers "github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// offers are the images that are here, by manifest, in the order in which a central is offered them.
type offers struct {
	manifests []digest.Digest
	roots     map[digest.Digest]Root
}

// offers lists the images that a layer may be made of: the host's own first, which is what the host asks on behalf of.
func (s *Source) offers(ctx context.Context, repo name.Repository, l layer) (o offers, tried bool) {
	o.roots = map[digest.Digest]Root{}
	var all []digest.Digest
	for _, root := range s.Roots {
		held, err := root.holds()
		if s.rootIs(ctx, root.Dir(), err); err != nil {
			continue
		}
		all, o.roots[held] = append(all, held), root
	}
	if s.Store != nil {
		all = append(all, s.images.stored(ctx, repo, l.digest)...)
	}
	for _, m := range all {
		if !s.mayTry(pair{m, l.digest}) {
			tried = true
		} else if !slices.Contains(o.manifests, m) && len(o.manifests) < mostSeeds {
			o.manifests = append(o.manifests, m)
		}
	}
	return o, tried
}

// begin starts to make a layer. Where it does not come to that, it says why; err may say more.
func (s *Source) begin(ctx context.Context, repo name.Repository, l layer) (_ *made, why Reason, err error) {
	o, tried := s.offers(ctx, repo, l)
	if len(o.manifests) == 0 {
		if tried {
			return nil, Again, nil
		}
		return nil, NoSeed, nil
	}
	c, began := s.central(repo.Host()), s.Now()
	patience := func() time.Duration {
		return max(c.temper.patience(began, s.Settings().Wait)-s.Now().Sub(began), 0)
	}
	tell, soured, ok := c.temper.enter(s.Now())
	if !ok {
		return nil, Slow, nil
	}
	m := &made{
		source: s, repo: repo, layer: l, began: s.Now(), sum: digest.SHA256.Hash(),
		gone: func() error { return context.Cause(ctx) },
		fetch: func(seed digest.Digest, why Reason, cause error) (io.ReadCloser, error) {
			s.wentWhole(ctx, repo, seed, l, why, cause)
			whole, _, err := s.whole(ctx, repo, l.digest, l.size)
			return whole, err
		},
		tell: func(err error) { s.judge(ctx, c, tell, err) },
	}
	if makes, err := s.makesDeltas(ctx, repo, patience()); err != nil {
		m.tell(err)
		return nil, Link, err
	} else if !makes {
		m.tell(nil)
		return nil, NoCentral, nil
	}
	if m.free, why = s.slot(ctx, soured, patience()); m.free == nil {
		tell(s.Now(), nil)
		return nil, why, errors.New("other layers are being made")
	}
	running, cancel := context.WithCancelCause(ctx)
	m.cancel = cancel
	answer, why, err := s.ask(running, repo, l, o.manifests, patience())
	if why == "" {
		m.seed, m.delta = answer.Seed, &bounded{ReadCloser: answer.Body, now: s.Now, allowed: s.allowed(l, &c.link)}
		if answer.Size >= 0 { // else it comes as fast as it is made
			m.delta = &measured{ReadCloser: m.delta, link: &c.link, now: s.Now}
		}
		m.waits = &waits{now: s.Now, left: s.allowed(l, &c.link) + leastPatience, end: func() { cancel(errLate) }}
		if err = m.waits.during(func() error { return m.start(running, answer, o) }); err != nil {
			why, err = m.whyNot(err)
			if ctx.Err() == nil { // else nobody waited for it any more
				s.fail(pair{answer.Seed, l.digest}, why)
			}
		}
	}
	if why != "" {
		m.tell(err)
		return nil, why, errors.Join(err, m.stop())
	}
	return m, "", nil
}

// judge notes what a layer says of its central.
func (s *Source) judge(ctx context.Context, c *central, tell func(time.Time, *bool), err error) {
	slow := tooSlow(err)
	if ctx.Err() != nil || errors.Is(err, errLeft) || errors.Is(err, errLate) {
		tell(s.Now(), nil)
		return
	}
	tell(s.Now(), &slow)
}

// slot waits for leave to make a layer, while there is patience and the central has not turned out to be slow. It returns
// what gives the leave back; nil says that there was none in time: whoever reads the others may want this one first.
func (s *Source) slot(ctx context.Context, soured <-chan struct{}, patience time.Duration) (free func(), why Reason) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
	default:
		select {
		case s.slots <- struct{}{}:
		case <-soured:
			return nil, Slow
		case <-timer.C:
			return nil, Wait
		case <-ctx.Done():
			return nil, Wait
		}
	}
	free = sync.OnceFunc(func() { <-s.slots })
	select {
	case <-soured: // in this very moment, or on the way here
		free()
		return nil, Slow
	default:
		return free, ""
	}
}

// made is a layer that is being made of a delta. It is for one goroutine.
type made struct {
	source *Source
	repo   name.Repository
	layer  layer
	began  time.Time
	seed   digest.Digest
	// gone tells why nobody wants it any more, nil while somebody does; fetch fetches the layer as it is.
	gone  func() error
	fetch func(seed digest.Digest, why Reason, cause error) (io.ReadCloser, error)
	// tell tells, once, how it went, for others that may ask the same central.
	tell func(err error)

	free   func()                  // gives the leave back
	cancel context.CancelCauseFunc // of what makes it
	work   sync.WaitGroup
	delta  io.ReadCloser
	wire   counter
	files  seed.Files
	pipes  []*io.PipeReader

	waits *waits // of its reader
	body  *verify.Reader
	given int64 // bytes that were passed on
	sum   interface {
		io.Writer
		Sum([]byte) []byte
	} // of them
	whole io.ReadCloser // what is read since it went wrong
	over  bool
	err   error
}

// counter counts what is read, for one goroutine at a time; it is read when that has ended.
type counter struct {
	r       io.Reader
	stopped func() bool // reading fails since then because it was ended here
	n       int64
	failed  error // why it could not be read on
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF && c.failed == nil && !c.stopped() {
		c.failed = err
	}
	return n, err
}

// start reads the delta's header and sets to work.
func (m *made) start(running context.Context, answer client.Delta, o offers) error {
	if !slices.Contains(o.manifests, answer.Seed) {
		return fmt.Errorf("%w: it needs an image that was not offered", delta.ErrInvalid)
	}
	m.wire.r, m.wire.stopped = m.delta, func() bool { return running.Err() != nil }
	d, err := delta.Open(&m.wire, delta.Limits{})
	if err != nil {
		return fmt.Errorf("opening the delta: %w", err)
	}
	h := d.Header()
	if h.Blob != m.layer.digest || h.BlobSize != m.layer.size || h.Seed != answer.Seed {
		return fmt.Errorf("%w: it makes another layer, or of another image", delta.ErrInvalid)
	}
	f, ok := layers.EncoderNamed(h.Encoder)
	if !ok {
		return fmt.Errorf("%w: %.100q is not here", delta.ErrEncoder, h.Encoder)
	}
	if m.files, err = m.source.open(running, answer.Seed, o, h.Sources); err != nil {
		return err
	}
	tar, stream := io.Pipe()
	blob, out := io.Pipe()
	m.pipes = []*io.PipeReader{tar, blob}
	m.work.Go(func() {
		stream.CloseWithError(rescue.Call(func() error {
			return d.Apply(running, stream, delta.ApplyOptions{
				Contents: m.files, Scratch: m.source.Scratch, Encoders: m.source.encoders(), Parallel: m.source.Parallel,
			})
		}))
	})
	m.work.Go(func() {
		err := rescue.Call(func() error {
			_, err := layers.Compress(running, out, tar, f)
			return err
		})
		// Who writes the stream may be waiting for a reader.
		tar.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		out.CloseWithError(err)
	})
	m.body = verify.NewReader(blob, m.layer.digest, m.layer.size)
	return nil
}

// encoders are the Source's, nil where there are none.
func (s *Source) encoders() delta.Encoders {
	if s.Encoders == nil {
		return nil
	}
	return s.Encoders
}

// open opens the files of an image that was offered.
func (s *Source) open(ctx context.Context, manifest digest.Digest, o offers, files []delta.File) (seed.Files, error) {
	if root, ok := o.roots[manifest]; ok {
		return root.Files()
	}
	var digests []digest.Digest
	for _, l := range s.images.layers(ctx, manifest) {
		digests = append(digests, l.digest)
	}
	return s.Store.Open(ctx, manifest, digests, files)
}

// errLeft says that the layer was not read to its end.
var errLeft = errors.New("its reader left")

// stop ends what makes the layer, and waits for it.
func (m *made) stop() error {
	m.cancel(context.Canceled)
	for _, p := range m.pipes {
		_ = p.CloseWithError(context.Canceled) // it gives none
	}
	var err error
	if m.delta != nil {
		err = m.delta.Close()
	}
	m.work.Wait()
	m.delta, m.pipes = nil, nil
	m.free()
	if m.files != nil {
		err = errors.Join(err, m.files.Close())
		m.files = nil
	}
	return err
}

// Read implements io.Reader. It gives the last byte only of the right layer.
func (m *made) Read(p []byte) (int, error) {
	if m.whole != nil {
		return m.whole.Read(p)
	}
	if m.err != nil {
		return 0, m.err
	}
	var n int
	err := m.waits.during(func() (err error) {
		n, err = m.body.Read(p)
		return err
	})
	_, _ = m.sum.Write(p[:n]) // it never fails
	m.given += int64(n)
	switch {
	case err == io.EOF, err == nil && m.given == m.layer.size: // who knows the size does not look for the end
		m.ended()
		return n, err
	case err == nil:
		return n, nil
	case m.gone() != nil:
		m.err = m.gone()
		return n, m.err
	}
	if m.err = m.resume(err); m.err != nil || n > 0 {
		return n, m.err
	}
	return m.whole.Read(p)
}

// ended notes that the layer was made.
func (m *made) ended() {
	if m.over {
		return
	}
	m.over = true
	m.tell(nil)
	if err := m.stop(); err != nil {
		m.source.Logger.LogAttrs(context.Background(), slog.LevelDebug, "after a delta", slog.Any("error", err))
	}
	m.source.cameByDelta(m.repo, m.seed, m.layer, m.wire.n, m.source.Now().Sub(m.began))
}

// whyNot says what an error of making the layer means, and gives it the error of reading the delta, if there was one:
// whatever the delta looked like then.
func (m *made) whyNot(err error) (Reason, error) {
	switch failed := m.wire.failed; {
	case failed == nil:
		return reasonOf(err), err
	case errors.Is(failed, errSlow):
		return Slow, errors.Join(err, failed)
	default:
		return Link, errors.Join(err, failed)
	}
}

// resume goes on with the layer as it is, from where it came to: what was passed on has to be its beginning.
func (m *made) resume(cause error) error {
	if err := m.stop(); err != nil {
		cause = errors.Join(cause, err)
	}
	why, cause := m.whyNot(cause)
	m.tell(cause)
	m.source.fail(pair{m.seed, m.layer.digest}, why)
	whole, err := m.fetch(m.seed, why, cause)
	if err != nil {
		m.source.forgive(m.layer.digest)
		return err
	}
	begin := digest.SHA256.Hash()
	if _, err := io.CopyN(begin, whole, m.given); err != nil {
		return errors.Join(err, whole.Close())
	}
	if string(begin.Sum(nil)) != string(m.sum.Sum(nil)) {
		err := fmt.Errorf("layer %s: the %d bytes that were made first are not its own: %w", m.layer.digest, m.given,
			verify.ErrMismatch)
		return errors.Join(err, whole.Close())
	}
	m.whole = whole
	return nil
}

// Close implements io.Closer.
func (m *made) Close() error {
	m.tell(errLeft)
	err := m.stop()
	if m.whole != nil {
		err = errors.Join(err, m.whole.Close())
	}
	if m.err == nil {
		m.err = errors.New("read after close")
	}
	return err
}
