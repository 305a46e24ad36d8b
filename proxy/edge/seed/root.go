package seed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Root has the files of a root file system, such as that of a bootc host: as its image has them where they are not the
// host's to change. It is only read, and never left: a symbolic link that leads out of it leads nowhere. It is safe for
// concurrent use.
type Root struct {
	dir string
}

// NewRoot returns the files below a directory.
func NewRoot(dir string) *Root { return &Root{dir} }

// Dir is where the root file system lies.
func (r *Root) Dir() string { return r.dir }

// Files returns all files of the root. They are opened there when they are needed.
func (r *Root) Files() (Files, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, fmt.Errorf("root file system %s: %w", r.dir, err)
	}
	return rootFiles{root}, nil
}

// rootFiles are a root file system's.
type rootFiles struct{ root *os.Root }

// Close implements Files.
func (r rootFiles) Close() error { return r.root.Close() }

// Open implements delta.Contents. A file of the image counts as missing where the host has something else: it is read once
// before it is used, so that wrong bytes don't show when half of the layer was passed on.
func (r rootFiles) Open(ctx context.Context, f delta.File) (delta.Content, error) {
	if !fs.ValidPath(f.Path) {
		return nil, missing(f, "the path is none of an image")
	}
	for _, p := range hostPaths(f.Path) {
		c, err := r.open(ctx, p, f)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errOther) {
			return nil, missing(f, err.Error())
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
func (r rootFiles) open(ctx context.Context, p string, want delta.File) (delta.Content, error) {
	before, err := r.root.Lstat(p)
	if err != nil || !before.Mode().IsRegular() || before.Size() != want.Size {
		return nil, errOther
	}
	f, err := r.root.OpenFile(p, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOther, err)
	}
	after, err := f.Stat()
	if err != nil || !os.SameFile(before, after) { // it was put there in this moment
		err = errors.Join(errOther, err)
	} else {
		err = check(ctx, f, want)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return hostFile{f, want.Size}, nil
}

// check reads a file and compares its digest.
func check(ctx context.Context, f *os.File, want delta.File) error {
	sum, buf := sha256.New(), make([]byte, 128<<10)
	for off := int64(0); off < want.Size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), want.Size-off)], off)
		sum.Write(buf[:n])
		if off += int64(n); err != nil && off < want.Size {
			return fmt.Errorf("%w: %w", errOther, err)
		}
	}
	if tree.Digest(sum.Sum(nil)) != want.Digest {
		return errOther
	}
	return nil
}

// hostFile is an open file of the host.
type hostFile struct {
	*os.File
	size int64
}

// Size implements delta.Content.
func (f hostFile) Size() int64 { return f.size }
