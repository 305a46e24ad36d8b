// Package static writes images as chunks and indexes for casync and desync into directories that any web server can serve.
package static

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Store is the name of the directory that holds chunks, beside the indexes: casync looks there by itself.
const Store = "default.castr"

// Options say what is exported, and how; what may be left out says so.
type Options struct {
	imageref.Options
	// Sizes are those of chunks; casync's own by default.
	Sizes casync.Sizes
	// Uncompressed chunks are written as they are.
	Uncompressed bool
	// Name is that of the index without its suffix; by default the last word of the reference, and its tag.
	Name string
	// Parallel is how many chunks are compressed at once, 1 by default.
	Parallel int
	// Progress hears of bytes of compressed layers that were read; nil: nobody.
	Progress func(done, total int64)
}

// Report says what was exported.
type Report struct {
	// Digest is that of the image's manifest.
	Digest digest.Digest `json:"digest"`
	// Index and Store are paths.
	Index string `json:"index"`
	Store string `json:"store"`
	// ArchiveBytes is the length of the archive that the index stands for, IndexBytes that of the index.
	ArchiveBytes int64 `json:"archive_bytes"`
	IndexBytes   int64 `json:"index_bytes"`
	// Chunks are those of the archive, each once; NewChunks those that were not in the store, with NewBytes there.
	Chunks    int   `json:"chunks"`
	NewChunks int   `json:"new_chunks"`
	NewBytes  int64 `json:"new_bytes"`
}

// Export writes an image into a directory: its chunks below Store, those that are there already excepted, and then its
// index. Whenever it is interrupted, only whole chunks are there, and the index that was there before.
func Export(ctx context.Context, reference, dir string, o Options) (_ *Report, err error) {
	if o.Sizes == (casync.Sizes{}) {
		o.Sizes = casync.DefaultSizes()
	}
	if err := o.Sizes.Check(); err != nil {
		return nil, err
	}
	name, err := indexName(reference, o.Name)
	if err != nil {
		return nil, err
	}
	ref, err := imageref.Parse(reference)
	if err != nil {
		return nil, err
	}
	source, err := ref.Open(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	i, err := openImage(ctx, source, o)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", ref, err)
	}
	s, err := openStore(dir, o)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", dir, err)
	}
	x, err := i.cut(ctx, s)
	if err == nil {
		err = s.index(name, x)
	}
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", ref, err)
	}
	_, _, d := source.Manifest()
	return &Report{Digest: d, Index: filepath.Join(dir, name), Store: s.dir, ArchiveBytes: x.Length(),
		IndexBytes: casync.EncodedSize(len(x.Chunks)), Chunks: len(s.seen), NewChunks: int(s.written.Load()),
		NewBytes: s.bytes.Load()}, nil
}

// indexName returns the name of the index file.
func indexName(reference, name string) (string, error) {
	if name == "" {
		ref, err := imageref.Parse(reference)
		if err != nil {
			return "", err
		}
		_, name, _ = strings.Cut(ref.String(), ":")
		name = filepath.Base(name)
		name = strings.Map(func(r rune) rune {
			if r == ':' || r == '@' {
				return '-'
			}
			return r
		}, name)
	}
	if err := CheckName(name); err != nil {
		return "", err
	}
	return strings.TrimSuffix(name, suffix) + suffix, nil
}

const (
	suffix = ".caibx"
	// longestName bounds a name with its suffix, and what is added to it while the file is written, in bytes.
	longestName = 200
)

// CheckName returns what is wrong with a name of an index; with none, the image's is taken.
func CheckName(name string) error {
	bare := strings.TrimSuffix(name, suffix)
	if name == "" || bare != "" && bare[0] != '.' && len(bare) <= longestName && filepath.IsLocal(bare) &&
		!strings.Contains(bare, "/") && legible.Plain(bare) {
		return nil
	}
	return fmt.Errorf("%.80q is no name for an index: write a file's name of at most %d bytes, without slashes and "+
		"with no dot in front", name, longestName)
}

// cut writes the chunks of the image's archive.
func (i *openedImage) cut(ctx context.Context, s *store) (*casync.Index, error) {
	x := &casync.Index{Sizes: i.Sizes}
	r, w := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	layers := make(chan *os.File)
	g.Go(func() error {
		defer close(layers)
		return i.spool(ctx, layers)
	})
	g.Go(func() error {
		err := i.write(ctx, w, layers)
		w.CloseWithError(err) // nil: the end
		return err
	})
	g.Go(func() (err error) {
		packing, pctx := errgroup.WithContext(ctx)
		packing.SetLimit(max(i.Parallel, 1))
		err = casync.Cut(r, i.Sizes, func(content []byte) error {
			c := casync.Chunk{ID: casync.Sum(content), Size: len(content)}
			x.Chunks = append(x.Chunks, c)
			if !s.lacks(c.ID) {
				return pctx.Err()
			}
			b := append(s.buffer(), content...)
			packing.Go(func() error { return s.put(c.ID, b) })
			return pctx.Err()
		})
		if perr := packing.Wait(); perr != nil {
			err = perr
		}
		r.CloseWithError(errors.Join(err, ctx.Err()))
		return err
	})
	return x, g.Wait()
}

// write writes the archive, whose layers it takes and closes.
func (i *openedImage) write(ctx context.Context, w io.Writer, layers <-chan *os.File) error {
	for range i.plain.Layers() {
		var f *os.File
		select {
		case f = <-layers:
		case <-ctx.Done():
		}
		if f == nil { // spool failed, and will have said so
			<-ctx.Done()
			return context.Cause(ctx)
		}
		err := i.writeLayer(w, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	end, err := i.plain.End()
	if err != nil {
		return err
	}
	_, err = w.Write(end)
	return err
}

func (i *openedImage) writeLayer(w io.Writer, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	before, err := i.plain.Layer(info.Size())
	if err != nil {
		return err
	}
	if _, err := w.Write(before); err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(f, 0, info.Size()))
	return err
}
