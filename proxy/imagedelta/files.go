package imagedelta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// TempPattern is how temporary files are named, as os.CreateTemp takes it, in the moment between their making and the loss
// of their name. A process that is killed then leaves one behind.
const TempPattern = "strata-tmp-delta-*"

// tempFile is a file without a name.
type tempFile struct {
	*os.File
	size int64
}

func newTempFile(dir string) (*tempFile, error) {
	f, err := os.CreateTemp(dir, TempPattern)
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("making a temporary file: %w", err), f.Close())
	}
	return &tempFile{File: f}, nil
}

// Write implements io.Writer.
func (f *tempFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.size += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (f *tempFile) ReadFrom(r io.Reader) (int64, error) {
	n, err := f.File.ReadFrom(r)
	f.size += n
	return n, err
}

// Size is the number of bytes that were written.
func (f *tempFile) Size() int64 { return f.size }

// reader reads the file from its start.
func (f *tempFile) reader() io.Reader { return io.NewSectionReader(f.File, 0, f.size) }

// scratch gives files of a directory.
type scratch string

// Create implements delta.Scratch.
func (s scratch) Create() (delta.ScratchFile, error) { return newTempFile(string(s)) }

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
