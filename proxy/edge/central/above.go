package central

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta"
)

// errAway says that the central above gives no answer that could be used.
var errAway = errors.New("the central above is away")

// fromAbove asks the central above. What it gives is not trusted with more than the layer that was asked for: it has to say
// that it makes that of one of the seeds, and is no longer than one that is made here may get.
func (c *Central) fromAbove(ctx context.Context, j *job) (io.ReadCloser, error) {
	var d *registry.Delta
	err := c.Work.Catch(ctx, "delta", func() (err error) {
		d, err = c.Next(ctx, j.repo, *j.above)
		return err
	})
	if err != nil {
		return nil, away(err)
	}
	body := &bounded{r: d.ReadCloser, left: max(j.size/2*3, leastMost)}
	var head bytes.Buffer
	needs, err := j.headed(io.TeeReader(body, &head), d)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a delta from above: %w", err), d.Close())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.key.Seed, j.made.needs = d.Seed, needs
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&head, body), d}, nil
}

// away tells a central that does not answer from one that says that there is no delta, or why not yet.
func away(err error) error {
	var none *registry.NoDelta
	var known *registry.Error
	var panicked *background.PanicError
	if errors.As(err, &none) || errors.As(err, &known) || errors.As(err, &panicked) || errors.Is(err, background.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", errAway, err)
}

// headed reads a delta's header and returns the programs that it needs, if it is one that was asked for.
func (j *job) headed(r io.Reader, d *registry.Delta) (needs []string, err error) {
	if !slices.Contains(j.above.Seeds, d.Seed) {
		return nil, fmt.Errorf("%w: it needs an image that was not offered", delta.ErrInvalid)
	}
	read, err := delta.Open(r, delta.Limits{})
	if err != nil {
		return nil, err
	}
	h := read.Header()
	if h.Blob != j.layer || h.BlobSize != j.size || h.Seed != d.Seed {
		return nil, fmt.Errorf("%w: it makes another layer, or of another image", delta.ErrInvalid)
	}
	return programsOf(h.Programs), nil
}

// bounded fails when more comes than may.
type bounded struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("a delta from above: %w", flight.ErrTooLarge)
	}
	return n, err
}
