package imagedelta

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// seedFiles lists the regular files of an image, and which of its layers has each.
func seedFiles(i Image) []delta.File {
	of := map[tree.Digest]int{}
	for n := len(i.Layers) - 1; n >= 0; n-- {
		for j := range i.Layers[n].Entries {
			if e := &i.Layers[n].Entries[j]; e.Kind == tree.Regular {
				of[e.Digest] = n
			}
		}
	}
	var out []delta.File
	for j := range i.Tree.Entries {
		e := &i.Tree.Entries[j]
		if e.Kind == tree.Regular && e.Size > 0 {
			out = append(out, delta.File{Path: e.Path, Size: e.Size, Digest: e.Digest, Layer: of[e.Digest]})
		}
	}
	return out
}

// contents are an image's files at random.
type contents struct{ tree.Contents }

// Open implements delta.Contents.
func (c contents) Open(_ context.Context, f delta.File) (delta.Content, error) {
	rc, err := c.Contents.Open(f.Digest)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", delta.ErrSource, f.Path, err)
	}
	if r, ok := rc.(delta.Content); ok {
		return r, nil
	}
	// Only small contents, which an index carries, are not in a file.
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, f.Size+1))
	if err == nil && int64(len(b)) != f.Size {
		err = fmt.Errorf("it has another length than %d bytes", f.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", delta.ErrSource, f.Path, err)
	}
	return inMemory{bytes.NewReader(b)}, nil
}

type inMemory struct{ *bytes.Reader }

// Close implements io.Closer.
func (inMemory) Close() error { return nil }
