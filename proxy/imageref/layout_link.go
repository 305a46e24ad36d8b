package imageref

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/strata-oci/strata/proxy/verify"
)

var _ Linker = (*layoutDestination)(nil)

// LinkBlob implements Linker: the blob becomes another name of the file.
func (l *layoutDestination) LinkBlob(ctx context.Context, desc ocispec.Descriptor, f *os.File) (bool, error) {
	has, err := l.Has(ctx, desc.Digest)
	if has || err != nil {
		return has, err
	}
	of, err := f.Stat()
	if err != nil {
		return false, err
	}
	if of.Size() != desc.Size {
		return false, fmt.Errorf("%s: %w: %d bytes, not %d", desc.Digest, verify.ErrMismatch, of.Size(), desc.Size)
	}
	if !sameLabel(f.Name(), filepath.Join(l.dir, ocispec.ImageLayoutFile)) {
		return false, nil
	}
	// Under a name of its own first: a damaged blob may be in the place.
	tmp := filepath.Join(l.dir, ".strata-"+rand.Text())
	if os.Link(f.Name(), tmp) != nil {
		return false, nil // whatever the reason is, a copy may do
	}
	if err := l.adopt(tmp, of, blobName(desc.Digest)); err != nil {
		return false, join(err, os.Remove(tmp))
	}
	l.setGood(desc.Digest)
	return true, nil
}

// adopt gives a link its place in the layout, if it is one to the file.
func (l *layoutDestination) adopt(link string, of fs.FileInfo, name string) error {
	got, err := os.Lstat(link)
	if err != nil {
		return err
	}
	if !os.SameFile(of, got) {
		return fmt.Errorf("%s: its file was replaced", name)
	}
	return os.Rename(link, filepath.Join(l.dir, filepath.FromSlash(name)))
}

// sameLabel reports whether two files have the same SELinux label, or none. A link keeps the label of where its file was
// made, which may keep programs from reading it where it is; a copy gets that of its place.
func sameLabel(a, b string) bool {
	label := func(path string) (string, bool) {
		var buf [1024]byte
		n, err := unix.Lgetxattr(path, "security.selinux", buf[:])
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			return "", true
		}
		return string(buf[:max(n, 0)]), err == nil
	}
	x, okX := label(a)
	y, okY := label(b)
	return okX && okY && x == y
}
