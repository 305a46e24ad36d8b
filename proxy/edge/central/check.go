package central

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

const (
	// checkedFor is how long a delta that was read to its end is taken for undamaged when clients break off.
	checkedFor = 10 * time.Minute
	maxChecked = 4096
)

// checks are about stored deltas that are read for nobody but to see whether they are damaged.
type checks struct {
	running atomic.Bool                          // one at a time
	right   *lru.Cache[digest.Digest, time.Time] // when a delta was last right
}

func newChecks() checks {
	right, _ := lru.New[digest.Digest, time.Time](maxChecked) // fails for sizes below 1 only
	return checks{right: right}
}

// openStored opens a stored delta, which is compared with its digest while it is read: disks rot. One that is damaged is put
// aside, and its record goes, so that the next client's is made anew.
func (c *Central) openStored(ctx context.Context, key catalog.DeltaKey, d digest.Digest) (io.ReadCloser, error) {
	content, err := c.Content.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	return &storedDelta{ReadCloser: content, central: c, key: key, digest: d}, nil
}

// storedDelta is a stored delta that is being read.
type storedDelta struct {
	io.ReadCloser
	central *Central
	key     catalog.DeltaKey
	digest  digest.Digest
	ended   bool
}

// Read implements io.Reader.
func (s *storedDelta) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	switch {
	case s.ended:
	case err == io.EOF:
		s.ended = true
		s.central.checks.right.Add(s.digest, s.central.Now())
	case errors.Is(err, chunkstore.ErrCorrupt):
		s.ended = true
		s.central.damaged(s.key, s.digest)
	}
	return n, err
}

// Close implements io.Closer. A client that does not want the rest may have seen that the delta is damaged.
func (s *storedDelta) Close() error {
	err := s.ReadCloser.Close()
	if !s.ended {
		s.ended = true
		s.central.check(s.key, s.digest)
	}
	return err
}

// check reads a delta in the background, unless that was done of late or another is being read.
func (c *Central) check(key catalog.DeltaKey, d digest.Digest) {
	if at, ok := c.checks.right.Get(d); ok && c.Now().Before(at.Add(checkedFor)) ||
		!c.checks.running.CompareAndSwap(false, true) {
		return
	}
	begun := c.Work.Go("check of a delta", func(ctx context.Context) {
		defer c.checks.running.Store(false)
		content, err := c.Content.Open(ctx, d)
		if err != nil {
			return // it is gone, or the next client has it tried again
		}
		defer content.Close() //nolint:errcheck // it was only read
		read := &storedDelta{ReadCloser: content, central: c, key: key, digest: d}
		_, _ = io.Copy(io.Discard, read) // it has acted on what it found
	})
	if !begun {
		c.checks.running.Store(false)
	}
}

// damaged forgets a delta that is in quarantine, which was logged.
func (c *Central) damaged(key catalog.DeltaKey, d digest.Digest) {
	ctx, stop := context.WithTimeout(context.Background(), writePatience)
	defer stop()
	rec, err := c.Records.Deltas.Get(ctx, key)
	if err == nil && rec != nil && rec.Digest == d {
		err = c.Records.Deltas.Delete(ctx, key)
	}
	if err != nil { // it leads to nothing any more, and is replaced
		c.Logger.WarnContext(ctx, "the record of a damaged delta could not be removed", "layer", key.Layer.String(), "error",
			err)
		return
	}
	c.shelf.drop(key)
}
