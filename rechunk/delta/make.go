package delta

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Make writes a delta that makes the layer t of files of the seed s. It streams: the header is written before t.Tar is read,
// and what follows as files are done with. Equal arguments give equal deltas, as long as Encoders and Trials find the same.
//
// Errors are those of w, of t.Tar, of o's parts, and the context's; ErrSource when a file of the seed is not what Seed says,
// and ErrInvalid when the tar stream is not what t says. What was written to w is of no use then.
func Make(ctx context.Context, w io.Writer, t Target, s Seed, o Options) (Report, error) {
	m, err := newMaker(ctx, t, s, o)
	if err != nil {
		return Report{}, err
	}
	report, err := m.make(ctx, w)
	m.packer.Close() //nolint:errcheck // writes nowhere
	if err = errors.Join(err, m.memory.close()); err != nil {
		return Report{}, fmt.Errorf("make a delta of %s: %w", t.Blob, err)
	}
	return report, nil
}

// maker makes one delta.
type maker struct {
	t        Target
	o        Options
	header   Header
	finder   *Finder
	sources  map[string]int        // by path, their numbers in the header
	entries  map[string]tree.Entry // the layer's regular files
	report   Report
	again    again
	trier    *wrap.Trier
	items    int                       // that were begun
	done     [wrap.Apart]chan struct{} // of the last ones
	memory   *memory                   // for contents
	packer   *zstd.Encoder             // for estimates
	programs map[Program]bool          // that are run
	shares   []float64                 // bytes of the delta by item
	between  float64                   // and those of none
	// the stream could not be read to its end; it may be looked at once there are no more jobs
	broken    bool
	allowance *allowance
}

func newMaker(ctx context.Context, t Target, s Seed, o Options) (*maker, error) {
	if o.Memory == 0 {
		o.Memory = 512 << 20
	}
	o.Parallel = max(o.Parallel, 1)
	if most := (Limits{}).OrDefault().Tar; t.TarSize > most {
		return nil, fmt.Errorf("make a delta of %s: %w: a tar stream of %d bytes, at most %d", t.Blob, ErrLimit, t.TarSize,
			most)
	}
	m := &maker{t: t, o: o, finder: NewFinder(s.Files), sources: map[string]int{}, entries: map[string]tree.Entry{}}
	m.memory, m.programs = newMemory(o.Memory/4, o.Scratch), map[Program]bool{}
	var err error
	if m.packer, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(o.Parallel), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
		return nil, fmt.Errorf("compress a delta: %w", err)
	}
	if o.Encoders != nil {
		m.trier = wrap.NewTrier(o.Encoders, o.Trials, wrap.DefaultLimits())
		m.header.Programs = o.Encoders.Available()
		sortPrograms(m.header.Programs)
	}
	m.allowance = newAllowance()
	m.again = newAgain(t.Entries, m.finder, m.allowance)
	for i, e := range t.Entries {
		if i%10_000 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("make a delta of %s: %w", t.Blob, ctx.Err())
		}
		if e.Kind != tree.Regular || e.Size == 0 {
			continue
		}
		m.entries[e.Path] = e
		if e.Link != "" && e.Link != e.Path {
			continue
		}
		for _, f := range m.candidates(e) {
			if _, ok := m.sources[f.Path]; !ok && m.allowance.source(f) {
				m.sources[f.Path] = 0
				m.header.Sources = append(m.header.Sources, f)
			}
		}
	}
	sortSources(m.header.Sources)
	for i, f := range m.header.Sources {
		m.sources[f.Path] = i
	}
	h := &m.header
	h.Blob, h.BlobSize, h.DiffID, h.TarSize, h.Encoder, h.Seed = t.Blob, t.BlobSize, t.DiffID, t.TarSize, t.Encoder,
		s.Manifest
	return m, nil
}

// candidates are the seed's files that a file of the layer may come from.
func (m *maker) candidates(e tree.Entry) []File {
	if f, ok := m.finder.Same(e.Digest, e.Size); ok {
		return []File{f}
	}
	return m.finder.Near(e.Path, e.Size)
}

func (m *maker) make(ctx context.Context, w io.Writer) (Report, error) {
	head, err := m.header.envelope()
	if err != nil {
		return Report{}, err
	}
	if m.o.Chosen != nil {
		m.o.Chosen(slices.Clone(m.header.Sources))
	}
	batches := newBatchWriter(w, newTrail(&m.header), m.charge)
	defer batches.close()
	if err := batches.write(head); err != nil {
		return Report{}, err
	}
	m.charge(-1, float64(len(head)))
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job, m.o.Parallel)
	group.Go(func() error {
		err := rescue.Call(func() error { return m.read(ctx, group, jobs) })
		m.broken = err != nil
		close(jobs)
		return err
	})
	group.Go(func() error { return rescue.Call(func() error { return m.write(ctx, batches, jobs) }) })
	if err := group.Wait(); err != nil {
		return Report{}, err
	}
	return m.summary(batches.n), nil
}

// job is a run of the stream that is worked on: its chunks come one after another, until the channel is closed.
type job struct {
	chunks chan chunk
	coder  *coder // that makes them, nil when they are no file's; it may be looked at once chunks is closed
}

// charge adds to what an item costs.
func (m *maker) charge(item int, bytes float64) {
	if item < 0 {
		m.between += bytes
		return
	}
	m.shares[item] += bytes
}

// write writes what the jobs give, in their order.
func (m *maker) write(ctx context.Context, batches *batchWriter, jobs <-chan job) error {
	for j := range jobs {
		item := -1
		if j.coder != nil {
			item = len(m.report.Items)
			m.shares = append(m.shares, 0)
		}
		for c := range j.chunks {
			c.item = item
			if err := batches.add(c); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.coder != nil {
			if j.coder.broken { // who made it says why
				return nil
			}
			m.report.Items = append(m.report.Items, j.coder.item)
			for _, p := range j.coder.s.programs {
				m.programs[p] = true
			}
		}
	}
	if err := ctx.Err(); err != nil || m.broken {
		return err
	}
	end := chunk{item: -1}
	end.data[operations] = []byte{opEnd}
	if err := batches.add(end); err != nil {
		return err
	}
	if err := batches.flush(); err != nil {
		return err
	}
	return batches.trail.end()
}

// summary completes the report.
func (m *maker) summary(size int64) Report {
	r := m.report
	r.Size, r.TarSize, r.BlobSize = size, m.t.TarSize, m.t.BlobSize
	r.Headers = int64(m.between)
	r.Programs = slices.Collect(maps.Keys(m.programs))
	sortPrograms(r.Programs)
	for i := range r.Items {
		r.Items[i].Bytes = int64(m.shares[i])
		r.Seconds += r.Items[i].Seconds
	}
	return r
}

// read takes the stream apart and begins a job for each piece.
func (m *maker) read(ctx context.Context, group *errgroup.Group, jobs chan<- job) error {
	workers := newWorkers(m.o.Parallel, m.share())
	send := func(j job) error {
		select {
		case jobs <- j:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	split := newSplitter(m.t.Tar, func(b []byte) error { return m.headers(ctx, b, send) })
	for {
		h, err := split.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if sent := m.headers(ctx, split.raw.between, send); sent != nil {
			return sent
		}
		if err != nil {
			return m.check(split.raw)
		}
		if err := m.content(ctx, group, workers, h, split.tar, send); err != nil {
			return err
		}
	}
}

// headers sends what lies between contents.
func (m *maker) headers(ctx context.Context, b []byte, send func(job) error) error {
	j := job{chunks: make(chan chunk, len(b)/pieceMost+2)}
	s := newScript(-1, func(c chunk) error { j.chunks <- c; return ctx.Err() })
	if err := s.bytes(opBetween, between, b); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	close(j.chunks)
	return send(j)
}

// check holds the stream against what the target says of it.
func (m *maker) check(raw *recorder) error {
	if got := digest.NewDigest(digest.SHA256, raw.sum); got != m.t.DiffID {
		return fmt.Errorf("%w: the tar stream is %s, not %s", ErrInvalid, got, m.t.DiffID)
	}
	if raw.n != m.t.TarSize {
		return fmt.Errorf("%w: the tar stream has %d bytes, not %d", ErrInvalid, raw.n, m.t.TarSize)
	}
	return nil
}

// share is the memory for matching one content: the same for any number of workers, so that the delta is. What workers take
// at the same time is bounded by it, too (coder.weight). The rest is for contents.
func (m *maker) share() int64 { return m.o.Memory / 4 * 3 }

// weight is about what matching the content takes of the memory: several bytes for each old one.
func (c *coder) weight() int64 {
	if c.data == nil {
		return 0
	}
	weight := 2 * c.data.Size()
	for _, k := range c.kids {
		weight += 8 * max(k.size, k.n)
	}
	for _, f := range c.like { // few of which are chosen
		weight += 6 * f.Size
	}
	return min(weight, c.m.share())
}

// workers admits jobs in the order of the stream, so many as there are rooms and memory for: what is written first never
// waits for what comes later.
type workers struct {
	rooms  chan *match.Room
	memory *semaphore.Weighted
}

func newWorkers(n int, memory int64) *workers {
	w := &workers{rooms: make(chan *match.Room, n), memory: semaphore.NewWeighted(memory)}
	for range n {
		w.rooms <- &match.Room{}
	}
	return w
}

// enter waits for a room and memory, and returns how to give them back.
func (w *workers) enter(ctx context.Context, weight int64) (room *match.Room, leave func(), err error) {
	select {
	case room = <-w.rooms:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if err := w.memory.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	return room, func() {
		w.memory.Release(weight)
		w.rooms <- room
	}, nil
}

// turn waits until an item may be begun (wrap.Trier.For), and returns what to close when it is done.
func (m *maker) turn(ctx context.Context) (chan struct{}, error) {
	slot := &m.done[m.items%len(m.done)]
	if *slot != nil {
		select {
		case <-*slot:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.items++
	*slot = make(chan struct{})
	return *slot, nil
}

// content reads the content of a file and begins its job.
func (m *maker) content(ctx context.Context, group *errgroup.Group, workers *workers, h *tar.Header, r io.Reader,
	send func(job) error,
) error {
	c := &coder{m: m, item: Item{Path: h.Name, Size: h.Size}}
	done, err := m.turn(ctx)
	if err != nil {
		return err
	}
	if m.trier != nil {
		c.trier = m.trier.For(m.items - 1)
	}
	if err := c.load(ctx, h, r); err != nil {
		return errors.Join(err, c.close())
	}
	j := job{chunks: make(chan chunk, 4), coder: c}
	c.s = newScript(0, func(c chunk) error {
		select {
		case j.chunks <- c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	room, leave, err := workers.enter(ctx, c.weight())
	if err != nil {
		return errors.Join(err, c.close())
	}
	c.room = room
	group.Go(func() error {
		defer leave()
		defer close(done)
		defer close(j.chunks)
		err := rescue.Call(func() error { return c.code(ctx) })
		if c.broken = err != nil; c.broken {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
		return nil
	})
	return send(j)
}
