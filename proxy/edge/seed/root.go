package seed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Root has the files of a root file system, such as that of a bootc host: as its image has them where they are not the
// host's to change. It is only read, and never left: a symbolic link that leads out of it leads nowhere. It is safe for
// concurrent use.
type Root struct {
	dir     string
	checked *lru.Cache[identity, tree.Digest] // what files were when they were last read to their ends
}

// identity tells a file in one state from others, as far as a file system does.
type identity struct {
	device, inode       uint64
	size                int64
	modified, changedAt int64 // in nanoseconds
}

const (
	// maxChecked bounds the files whose digests are remembered.
	maxChecked = 1 << 16
	// mostChecked is how many bytes of files are read for one layer to see whether they are what they should be.
	mostChecked = 16 << 30
)

// NewRoot returns the files below a directory.
func NewRoot(dir string) *Root {
	checked, _ := lru.New[identity, tree.Digest](maxChecked) // fails for sizes below 1 only
	return &Root{dir: dir, checked: checked}
}

// Dir is where the root file system lies.
func (r *Root) Dir() string { return r.dir }

// Files returns all files of the root. They are opened there when they are needed.
func (r *Root) Files() (Files, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, fmt.Errorf("root file system %s: %w: %w", r.dir, ErrUnreadable, err)
	}
	return &rootFiles{of: r, root: root}, nil
}

// rootFiles are a root file system's.
type rootFiles struct {
	of   *Root
	root *os.Root
	read atomic.Int64 // bytes, to see whether they are right
}

// Close implements Files.
func (r *rootFiles) Close() error { return r.root.Close() }

// Open implements delta.Contents. A file of the image counts as missing where the host has something else: it is read once
// before it is used, so that wrong bytes don't show when half of the layer was passed on.
func (r *rootFiles) Open(ctx context.Context, f delta.File) (delta.Content, error) {
	if !fs.ValidPath(f.Path) {
		return nil, missing(f, "the path is none of an image")
	}
	for _, p := range hostPaths(f.Path) {
		c, err := r.open(ctx, p, f)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errOther) {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil, missing(f, "the host has none, or another one")
}

// errOther says that at a path there is nothing, or not what the image has.
var errOther = errors.New("another file")

// hostPaths are where a host keeps a file of its image: /etc is the host's, /usr/etc what the image had there.
func hostPaths(p string) []string {
	if rest, ok := strings.CutPrefix(p, "etc/"); ok {
		return []string{path.Join("usr/etc", rest), p}
	}
	return []string{p}
}

// open opens a regular file with a content. What else there may be, pipes and devices, is not even opened.
func (r *rootFiles) open(ctx context.Context, p string, want delta.File) (delta.Content, error) {
	before, err := r.root.Lstat(p)
	if err != nil {
		return nil, notOpened(err)
	}
	if !before.Mode().IsRegular() || before.Size() != want.Size {
		return nil, errOther
	}
	f, err := r.root.OpenFile(p, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, notOpened(err)
	}
	after, err := f.Stat()
	switch {
	case err != nil:
		err = notOpened(err)
	case !os.SameFile(before, after): // it was put there in this moment
		err = errOther
	default:
		err = r.check(ctx, f, after, want)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	id, _ := identityOf(after)
	return hostFile{f, want.Size, id}, nil
}

// notOpened tells what is not there, or leads out of the root, from what can't be opened now: too many files are open, the
// disk fails, it is not allowed.
func notOpened(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) && !slices.Contains([]syscall.Errno{
		syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ENXIO,
	}, no) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return fmt.Errorf("%w: %w", errOther, err)
}

// check reads a file and compares its digest, unless it was read before and has not changed since.
func (r *rootFiles) check(ctx context.Context, f *os.File, info fs.FileInfo, want delta.File) error {
	id, known := identityOf(info)
	if known {
		if was, ok := r.of.checked.Get(id); ok && was == want.Digest {
			return nil
		}
	}
	if r.read.Add(want.Size) > mostChecked {
		return fmt.Errorf("%w: the layer needs files of more than %d bytes", delta.ErrLimit, int64(mostChecked))
	}
	sum, buf := sha256.New(), make([]byte, 128<<10)
	for off := int64(0); off < want.Size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), want.Size-off)], off)
		sum.Write(buf[:n])
		if off += int64(n); err == io.EOF && off < want.Size {
			return errOther
		} else if err != nil && off < want.Size {
			return fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
	}
	if tree.Digest(sum.Sum(nil)) != want.Digest {
		return errOther
	}
	if known {
		r.of.checked.Add(id, want.Digest)
	}
	return nil
}

// hostFile is an open file of the host.
type hostFile struct {
	*os.File
	size int64
	was  identity // when it was found to be right; the zero value where that is not known
}

// Size implements delta.Content.
func (f hostFile) Size() int64 { return f.size }

// ReadAt implements io.ReaderAt. Bytes that may have been changed since the file was found to be right are not given: they
// would be passed on as a part of the layer.
func (f hostFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if f.was == (identity{}) {
		return n, err
	}
	info, serr := f.Stat()
	if serr != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnreadable, serr)
	}
	if now, _ := identityOf(info); now != f.was {
		return 0, fmt.Errorf("%w: it was changed while it was read", errOther)
	}
	return n, err
}
