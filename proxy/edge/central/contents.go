package central

import (
	"context"
	"errors"
	"sync"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/rechunk/delta"
)

// contents are the files of a seed for the making of one delta, taken from the layers of the store: those that may be of use
// are found by one pass over each layer that holds some.
type contents struct {
	// look finds files, in passes that end with the delta.
	look func(files []delta.File) (seed.Files, error)

	mu     sync.Mutex
	wanted map[delta.File]bool
	open   []seed.Files // the first has what is wanted
	err    error
}

func newContents(ctx context.Context, store *seed.Store, image *seedImage) *contents {
	return &contents{look: func(files []delta.File) (seed.Files, error) {
		return store.Open(ctx, image.manifest, image.layers, files)
	}}
}

// choose says which files may be opened.
func (c *contents) choose(files []delta.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = make(map[delta.File]bool, len(files))
	for _, f := range files {
		c.wanted[f] = true
	}
	_, c.err = c.more(files)
}

// more looks for files. The caller holds c.mu.
func (c *contents) more(files []delta.File) (seed.Files, error) {
	found, err := c.look(files)
	if err != nil {
		return nil, err
	}
	c.open = append(c.open, found)
	return found, nil
}

// Open implements delta.Contents.
func (c *contents) Open(ctx context.Context, f delta.File) (delta.Content, error) {
	c.mu.Lock()
	from, err := seed.Files(nil), c.err
	switch {
	case err != nil:
	case c.wanted[f]:
		from = c.open[0]
	default:
		from, err = c.more([]delta.File{f})
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return from.Open(ctx, f)
}

// Close frees what the files took.
func (c *contents) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var problems error
	for _, f := range c.open {
		problems = errors.Join(problems, f.Close())
	}
	c.open, c.err = nil, seed.ErrClosed
	return problems
}
