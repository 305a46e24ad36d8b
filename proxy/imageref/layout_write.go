package imageref

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/verify"
)

// layoutDestination writes an image into a layout. Files are written beside their place, synced and renamed.
type layoutDestination struct {
	dir     string
	tag     string
	durable bool // sync; not worth while for what becomes an archive
	// made: there was no layout; madeDir: nor the directory.
	made, madeDir bool
	// whole: a layout that was made here goes with its blobs when no image was put into it.
	whole bool

	mu   sync.Mutex
	good map[digest.Digest]bool // blobs whose bytes were seen to be right
	// put are those that were written here while no image was.
	put []digest.Digest
}

var _ Destination = (*layoutDestination)(nil)

// createLayout opens a layout, or makes one where there is nothing or an empty directory.
func createLayout(dir, tag string, durable bool) (*layoutDestination, error) {
	l := &layoutDestination{dir: dir, tag: tag, durable: durable, good: make(map[digest.Digest]bool)}
	entries, err := os.ReadDir(dir)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(entries) > 0:
		if err := checkLayoutFile(dirFiles(dir)); err != nil {
			return nil, fmt.Errorf("%w; choose a layout, or a directory that is new or empty", err)
		}
	}
	l.made, l.madeDir = len(entries) == 0, err != nil
	return l, l.initialize(l.made)
}

// initialize makes a directory a valid layout, if an empty one, from the start. The file that tells a layout comes first, so
// that a directory can be taken up again when this is interrupted.
func (l *layoutDestination) initialize(empty bool) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	if empty {
		version := ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}
		if err := l.writeJSON(ocispec.ImageLayoutFile, version); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(l.dir, ocispec.ImageBlobsDir, digest.SHA256.String()), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(l.dir, ocispec.ImageIndexFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.writeJSON(ocispec.ImageIndexFile, emptyIndex())
}

// Has implements Destination. It reads the blob, the first time it is asked.
func (l *layoutDestination) Has(ctx context.Context, d digest.Digest) (bool, error) {
	if err := checkDigest(d); err != nil {
		return false, err
	}
	if l.isGood(d) {
		return true, nil
	}
	f, size, err := dirFiles(l.dir).open(blobName(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("blob %s: %w", d, err)
	}
	_, err = io.Copy(io.Discard, verified(untilEnd(ctx, f), d, size))
	switch err = join(err, f.Close()); {
	case errors.Is(err, verify.ErrMismatch): // damaged: to be written anew
		return false, nil
	case err != nil:
		return false, fmt.Errorf("blob %s: %w", d, err)
	}
	l.setGood(d)
	return true, nil
}

// PutBlob implements Destination.
func (l *layoutDestination) PutBlob(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	has, err := l.Has(ctx, desc.Digest)
	if has || err != nil {
		return err
	}
	content := verified(untilEnd(ctx, r), desc.Digest, desc.Size)
	if err := l.writeFile(blobName(desc.Digest), content); err != nil {
		return fmt.Errorf("write blob %s: %w", desc.Digest, err)
	}
	l.setGood(desc.Digest)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put = append(l.put, desc.Digest)
	return nil
}

// PutManifest implements Destination.
func (l *layoutDestination) PutManifest(ctx context.Context, mediaType string, raw []byte) error {
	m, doc, err := identify(mediaType, raw)
	if err != nil {
		return err
	}
	if err := l.checkParts(doc); err != nil {
		return fmt.Errorf("manifest %s: %w", m.digest, err)
	}
	desc := ocispec.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(raw))}
	if err := l.PutBlob(ctx, desc, bytes.NewReader(raw)); err != nil {
		return err
	}
	if err := l.syncDir(filepath.Dir(blobName(m.digest))); err != nil {
		return err
	}
	return l.setTag(desc)
}

// checkParts makes sure that what a manifest names is there, in its size.
func (l *layoutDestination) checkParts(doc *oci.Document) error {
	var parts []ocispec.Descriptor
	if doc.Index != nil {
		parts = doc.Index.Manifests()
	} else {
		parts = append(parts, doc.Manifest.Layers...)
		parts = append(parts, doc.Manifest.Config)
	}
	for _, d := range parts {
		if err := checkDigest(d.Digest); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(l.dir, blobName(d.Digest)))
		if err != nil {
			return fmt.Errorf("its blob %s is not in the layout: %w", d.Digest, err)
		}
		if info.Size() != d.Size {
			return fmt.Errorf("its blob %s has %d bytes, not %d: %w", d.Digest, info.Size(), d.Size, verify.ErrMismatch)
		}
	}
	return nil
}

// setTag lets the tag point to desc in index.json. A lock on the directory keeps two processes from losing each other's tag.
func (l *layoutDestination) setTag(desc ocispec.Descriptor) error {
	dir, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // frees the lock; nothing was written through it
	err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	// not every file system locks
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.ENOLCK) {
		return fmt.Errorf("lock %s: %w", l.dir, err)
	}
	old, err := readLayoutFile(dirFiles(l.dir), ocispec.ImageIndexFile, maxIndexFile)
	if err != nil {
		return err
	}
	index, err := replaceTag(old, l.tag, desc)
	if err != nil {
		return err
	}
	return l.writeJSON(ocispec.ImageIndexFile, index)
}

// Close implements Destination. A layout that was made here and that nothing was put into, by whomever, goes.
func (l *layoutDestination) Close() error {
	if !l.made {
		return nil
	}
	if l.whole && l.empty() {
		for _, d := range l.put {
			_ = os.Remove(filepath.Join(l.dir, blobName(d))) // what is left is of no use, and does no harm
		}
	}
	blobs := filepath.Join(l.dir, ocispec.ImageBlobsDir)
	// A directory that has something in it is not removed.
	if os.Remove(filepath.Join(blobs, digest.SHA256.String())) != nil {
		return nil
	}
	err := os.Remove(blobs)
	for _, name := range []string{ocispec.ImageIndexFile, ocispec.ImageLayoutFile} {
		err = errors.Join(err, os.Remove(filepath.Join(l.dir, name)))
	}
	if l.madeDir {
		err = errors.Join(err, os.Remove(l.dir))
	}
	return err
}

// empty reports whether the layout has no image, whoever wrote it.
func (l *layoutDestination) empty() bool {
	raw, err := readLayoutFile(dirFiles(l.dir), ocispec.ImageIndexFile, maxIndexFile)
	if err != nil {
		return false
	}
	index, err := parseIndexFile(raw)
	return err == nil && len(index.Manifests()) == 0
}

func (l *layoutDestination) isGood(d digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good[d]
}

func (l *layoutDestination) setGood(d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good[d] = true
}

func (l *layoutDestination) writeJSON(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(raw) > maxIndexFile {
		return fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLarge, maxIndexFile)
	}
	if err := l.writeFile(name, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return l.syncDir(".")
}
