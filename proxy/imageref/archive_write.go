package imageref

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/ociarchive"
)

// archiveDestination gathers a layout in a temporary directory and makes a tar file of it in the end.
type archiveDestination struct {
	*layoutDestination
	write    func(out io.Writer, dir string) error // bounded by the context of Create
	path     string
	out      *os.File // beside path
	complete atomic.Bool
	closed   bool
}

var _ Destination = (*archiveDestination)(nil)

func createArchive(ctx context.Context, path, tag string, opts Options) (*archiveDestination, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file; choose another name")
	}
	// Made first, to fail before the work and not after it.
	out, err := createTemp(filepath.Dir(path), ".strata-")
	if err != nil {
		return nil, err
	}
	staging, err := os.MkdirTemp(opts.TempDir, "strata-archive-")
	if err != nil {
		return nil, join(err, out.Close(), os.Remove(out.Name()))
	}
	l, err := createLayout(staging, tag, false)
	if err != nil {
		return nil, join(err, out.Close(), os.Remove(out.Name()), os.RemoveAll(staging))
	}
	write := func(out io.Writer, dir string) error { return writeTar(ctx, out, dir) }
	return &archiveDestination{layoutDestination: l, write: write, path: path, out: out}, nil
}

// PutManifest implements Destination.
func (a *archiveDestination) PutManifest(ctx context.Context, mediaType string, raw []byte) error {
	if err := a.layoutDestination.PutManifest(ctx, mediaType, raw); err != nil {
		return err
	}
	a.complete.Store(true)
	return nil
}

// Close implements Destination. Without a manifest it leaves no archive, and an older one as it is.
func (a *archiveDestination) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	err := a.finish()
	if err != nil {
		err = fmt.Errorf("write archive %s: %w", a.path, err)
	}
	return join(err, os.RemoveAll(a.dir))
}

func (a *archiveDestination) finish() (err error) {
	if !a.complete.Load() {
		return join(a.out.Close(), os.Remove(a.out.Name()))
	}
	defer func() {
		if err != nil {
			_ = a.out.Close() // may be the second one
			err = join(err, os.Remove(a.out.Name()))
		}
	}()
	if err := a.write(a.out, a.dir); err != nil {
		return err
	}
	if err := join(a.out.Sync(), a.out.Close()); err != nil {
		return err
	}
	if err := os.Rename(a.out.Name(), a.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(a.path))
}

// writeTar makes a tar of a directory: the same files give the same bytes. Names are in order; times and owners are zero.
func writeTar(ctx context.Context, out io.Writer, dir string) error {
	buffered := bufio.NewWriterSize(out, 1<<20)
	tw := tar.NewWriter(buffered)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case entry.IsDir():
			return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755,
				ModTime: time.Unix(0, 0)})
		}
		return writeTarFile(ctx, tw, dir, name)
	})
	if err != nil {
		return err
	}
	return join(tw.Close(), buffered.Flush())
}

func writeTarFile(ctx context.Context, tw *tar.Writer, dir, name string) error {
	f, size, err := dirFiles(dir).open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if err := tw.WriteHeader(ociarchive.Header(name, size)); err != nil {
		return err
	}
	_, err = io.Copy(tw, untilEnd(ctx, f))
	return err
}
