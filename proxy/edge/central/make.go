package central

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// What a delta is made of that is not stored any more.
var (
	errLostSeed  = errors.New("the seed is not stored any more")
	errLostLayer = errors.New("the layer is not stored any more")
)

// lost says of an error that something is not stored, what that is.
func lost(what, err error) error {
	if errors.Is(err, chunkstore.ErrNotFound) || errors.Is(err, rechunk.ErrNotFound) {
		return fmt.Errorf("%w: %w", what, err)
	}
	return err
}

// facts are what is to be known of a layer to make its blob again.
type facts struct {
	diffID  digest.Digest
	tarSize int64
	encoder string
}

// facts finds a layer among the versions of a repository's lineage; nil where it is not there, or nobody knows what made its
// blob.
func (c *Central) facts(ctx context.Context, repo name.Repository, layer digest.Digest) (*facts, error) {
	v, err := c.versions(ctx, repo)
	if err != nil {
		return nil, err
	}
	for i := range v {
		for _, l := range v[i].Layers {
			if l.Digest == layer && l.Encoder != "" && l.DiffID.Validate() == nil && l.TarSize > 0 {
				return &facts{l.DiffID, l.TarSize, l.Encoder}, nil
			}
		}
	}
	return nil, nil
}

// make writes the delta of a job.
func (c *Central) make(ctx context.Context, w io.Writer, j *job, cpus int) error {
	began := c.Now()
	image, err := c.image(ctx, j.key.Seed)
	if err == nil && image == nil {
		err = chunkstore.ErrNotFound
	}
	if err != nil {
		c.seen.Remove(j.key.Seed)
		return fmt.Errorf("seed %s: %w", j.key.Seed, lost(errLostSeed, err))
	}
	index, err := c.index(ctx, j.layer)
	if err != nil {
		return lost(errLostLayer, err)
	}
	blob, err := c.Content.Open(ctx, j.layer)
	if err != nil {
		return lost(errLostLayer, err)
	}
	defer blob.Close()
	tar, err := scan.Decompress(blob, tree.Limits{})
	if err != nil {
		return err
	}
	defer tar.Close()
	tried, err := c.recall(ctx, j.layer)
	if err != nil {
		return err
	}
	files := newContents(ctx, c.seeds, image)
	defer files.Close()
	o := delta.Options{
		Contents: files, Chosen: files.choose, Scratch: c.scratch, Trials: tried, Worth: j.worth,
		Memory: max(c.Memory/int64(c.CPU)*int64(cpus), 1), Parallel: cpus,
	}
	if c.Encoders != nil && len(j.allowed) > 0 {
		o.Encoders = encoders{c.Encoders, j.allowed}
	}
	report, err := c.Make(ctx, &worthwhile{w: w, job: j}, delta.Target{
		Tar: tar, TarSize: j.facts.tarSize, Entries: index.Entries, Blob: j.layer, BlobSize: j.size, DiffID: j.facts.diffID,
		Encoder: j.facts.encoder,
	}, delta.Seed{Manifest: image.manifest, Files: image.files}, o)
	c.remember(ctx, j.layer, tried)
	if err == nil {
		err = ended(tar, blob)
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made = made{programsOf(report.Programs), c.Now().Sub(began).Seconds(), report.Seconds}
	return nil
}

// ended reads a layer to its end, where it shows whether it is what its digest says.
func ended(tar, blob io.Reader) error {
	for _, r := range []io.Reader{tar, blob} {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return fmt.Errorf("reading the layer to its end: %w", err)
		}
	}
	return nil
}

// worthwhile ends a delta that turns out to save too little. To who has most of it already the rest is cheaper than the
// whole blob, so that one is made to its end unless it is far too long.
type worthwhile struct {
	w       io.Writer
	job     *job
	written int64
}

// Write passes bytes on.
func (w *worthwhile) Write(p []byte) (int, error) {
	w.written += int64(len(p))
	if most := w.job.size / 2 * 3; w.written > most && w.written > leastMost ||
		pairs.Gainless(w.written, w.job.size) && w.job.unread() {
		return 0, errNoGain
	}
	return w.w.Write(p)
}

// leastMost is up to how many bytes a delta is made to its end, however small the layer.
const leastMost = 64 << 10

// unread reports whether nobody waits for a delta.
func (j *job) unread() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.readers == 0
}
