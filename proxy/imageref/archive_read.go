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
	"path"
	"regexp"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
)

// Limits of an archive.
const (
	maxArchiveFiles = 100_000
	maxUnpacked     = 64 << 30 // bytes that a compressed archive may unpack to
)

// layoutNames are the files that an image layout is made of. Others are skipped: podman and docker add some.
var layoutNames = regexp.MustCompile(`^(?:oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// tarFiles are a layout's files inside of an uncompressed tar file. They are read where they lie: nothing is extracted, so
// that no name in the archive becomes a path.
type tarFiles struct {
	file  *os.File
	parts map[string]tarPart
}

// tarPart is where a file's bytes are.
type tarPart struct{ off, size int64 }

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	p, ok := t.parts[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(io.NewSectionReader(t.file, p.off, p.size)), p.size, nil
}

func (t *tarFiles) Close() error { return t.file.Close() }

// openArchive finds an image in a tar file.
func openArchive(ctx context.Context, name, tag string, want platform, opts Options) (Source, error) {
	f, err := openPlainTar(ctx, name, opts.TempDir, maxUnpacked)
	if err != nil {
		return nil, err
	}
	files, err := indexTar(ctx, f)
	if err != nil {
		return nil, join(err, f.Close())
	}
	s, err := openLayout(ctx, files, tag, want)
	if err != nil {
		return nil, join(err, f.Close())
	}
	return s, nil
}

// openPlainTar opens an archive, unpacking a gzip'd one, of at most limit bytes, into a temporary file without a name.
func openPlainTar(ctx context.Context, name, tempDir string, limit int64) (*os.File, error) {
	// Not blocking, so that a FIFO nobody writes to is an error and no hang.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, join(err, errors.New("not a regular file"), f.Close())
	}
	var magic [2]byte
	if n, _ := f.ReadAt(magic[:], 0); n < 2 || magic != [2]byte{0x1f, 0x8b} {
		return f, nil // a failure to read shows again at once
	}
	plain, err := unpack(ctx, f, tempDir, limit)
	if err := join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	return plain, nil
}

func unpack(ctx context.Context, packed io.Reader, tempDir string, limit int64) (_ *os.File, err error) {
	zr, err := gzip.NewReader(bufio.NewReaderSize(packed, 1<<20))
	if err != nil {
		return nil, err
	}
	out, err := os.CreateTemp(tempDir, "strata-archive-*.tar")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = join(err, out.Close())
		}
	}()
	if err := os.Remove(out.Name()); err != nil {
		return nil, err
	}
	n, err := io.Copy(out, io.LimitReader(untilEnd(ctx, zr), limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	_, err = out.Seek(0, io.SeekStart)
	return out, err
}

// indexTar finds the layout's files. As in extraction, the last of equal names counts.
func indexTar(ctx context.Context, f *os.File) (*tarFiles, error) {
	t := &tarFiles{file: f, parts: make(map[string]tarPart)}
	tr := tar.NewReader(f)
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		hdr, err := tr.Next()
		if err == io.EOF && n == 0 {
			return nil, errors.New("the archive is empty")
		}
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not a tar archive, or a damaged one: %w", err)
		}
		if n >= maxArchiveFiles {
			return nil, fmt.Errorf("%w: more than %d files in the archive", ErrTooLarge, maxArchiveFiles)
		}
		name, err := checkTarEntry(hdr)
		if err != nil {
			return nil, err
		}
		if name == "" {
			continue
		}
		// The reader has no buffer of its own: the file stands where the entry's bytes begin.
		off, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		t.parts[name] = tarPart{off: off, size: hdr.Size}
	}
}

// checkTarEntry returns the layout's name for an entry, or "" for one to be skipped. What has no place in a layout, links,
// devices and names that lead out of it, is an error.
func checkTarEntry(hdr *tar.Header) (string, error) {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return "", nil
	}
	shown := shorten(hdr.Name, 100)
	if path.IsAbs(hdr.Name) || hdr.Name == ".." || strings.HasPrefix(path.Clean(hdr.Name), "../") {
		return "", fmt.Errorf("archive entry %q leads out of the archive", shown)
	}
	name := path.Clean(hdr.Name)
	switch hdr.Typeflag {
	case tar.TypeDir:
		return "", nil
	case tar.TypeReg:
	default:
		return "", fmt.Errorf("archive entry %q is neither a file nor a directory, as no OCI archive has (podman save "+
			"--format oci-archive writes one)", shown)
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return "", fmt.Errorf("archive entry %q is a sparse file", shown)
		}
	}
	if !layoutNames.MatchString(name) {
		return "", nil
	}
	return name, nil
}
