package chunkstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// AnySize in Expected accepts content of every length.
const AnySize = -1

// Expected is what a writer's content has to be. Mind that a Size of zero expects no content at all.
type Expected struct {
	// Digest of the content; empty accepts every one.
	Digest digest.Digest
	// Size of the content in bytes, or AnySize.
	Size int64
}

// Descriptor names stored content.
type Descriptor struct {
	Digest digest.Digest
	// Size in bytes.
	Size int64
}

// Writer takes content piece by piece and hashes it on the way. Nothing of it is visible before Commit. A Writer is for one
// goroutine, and one of Commit and Cancel has to be called; `defer w.Cancel(ctx)` does no harm after a Commit.
type Writer struct {
	ended func() error // why the context of Create ended, which drivers upload under
	to    *staged
	hash  hash.Hash
	err   error // the first failure of a Write; Commit refuses after it
	done  bool
	// counted are the bytes that the store's Space was told of and that are not content yet.
	counted int64
}

var _ io.Writer = (*Writer)(nil)

// Create begins new content. ctx must last until the writer is committed or cancelled.
func (s *Store) Create(ctx context.Context) (*Writer, error) {
	to, err := s.stage(ctx)
	if err != nil {
		return nil, failedWrite("create content", err)
	}
	return &Writer{ended: ctx.Err, to: to, hash: sha256.New()}, nil
}

// CreateVerified is Create for content whose bytes the caller verifies, on their way to Write, against the digest that it
// commits: they are hashed once, and not here again.
func (s *Store) CreateVerified(ctx context.Context) (*Writer, error) {
	w, err := s.Create(ctx)
	if err == nil {
		w.hash = nil
	}
	return w, err
}

// PutFrom stores what r gives, read to its end, as the content that is expected. It holds none of it in memory. Errors are
// those of Commit, or r's.
func (s *Store) PutFrom(ctx context.Context, want Expected, r io.Reader) (err error) {
	w, err := s.Create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Cancel(ctx)) }() // does nothing after Commit
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	_, err = w.Commit(ctx, want)
	return err
}

// Open, before the first Write, opens the very file that becomes the content for reading: every byte is there when Write has
// returned, and also after Commit or Cancel. It returns nil for a driver that keeps no files. The caller closes it.
func (w *Writer) Open() (*os.File, error) {
	f, ok := w.to.out.(*fileWriter)
	if !ok {
		return nil, nil
	}
	r, err := f.follow()
	return r, failedWrite("read content on its way", err)
}

// Write appends p. After an error the content cannot be committed any more.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.done:
		return 0, errFinished
	case w.err != nil:
		return 0, w.err
	}
	if err := w.ended(); err != nil {
		w.err = fmt.Errorf("write content: %w", err)
		return 0, w.err
	}
	if w.err = w.to.store.admit("write content", int64(len(p))); w.err != nil {
		return 0, w.err
	}
	n, err := w.to.Write(p)
	w.grew(int64(n))
	if w.hash != nil {
		w.hash.Write(p[:n])
	}
	if err != nil {
		w.err = failedWrite("write content", err)
	}
	return n, w.err
}

// Size is how many bytes were written so far.
func (w *Writer) Size() int64 { return w.to.size }

// Cancel throws away what was written. It is idempotent, does nothing after Commit, and works when ctx has ended. After an
// error, SweepUploads removes what is left.
func (w *Writer) Cancel(ctx context.Context) error {
	w.done = true
	w.grew(-w.counted)
	return failedWrite("cancel content", w.to.discard(ctx))
}

// grew counts bytes that the backend holds because of this writer.
func (w *Writer) grew(n int64) {
	w.counted += n
	w.to.store.grew(n)
}

// Commit makes the content visible under its digest once it has proven to be what is wanted and is durable; otherwise
// nothing of it is visible, and the error is ErrVerify when the content differs. Content that is stored already is a
// success. When several writers commit the same content, all succeed.
//
// The digest returned is the wanted one, or SHA-256 when none was wanted. A wanted sha512 digest makes the content be read
// back, since writing hashes with SHA-256. Whatever Commit returns, the writer is finished.
func (w *Writer) Commit(ctx context.Context, want Expected) (Descriptor, error) {
	if w.done {
		return Descriptor{}, errFinished
	}
	w.done = true
	defer w.to.drop(ctx)
	defer func() { w.grew(-w.counted) }()
	if w.err != nil {
		return Descriptor{}, w.err
	}
	got, err := w.verify(ctx, want)
	if err != nil {
		return Descriptor{}, err
	}
	if err := w.publish(ctx, got); err != nil {
		return Descriptor{}, failedWrite(fmt.Sprintf("commit content %s", got.Digest), err)
	}
	return got, nil
}

var errFinished = errors.New("write content: the writer is committed or cancelled already")

// verify compares what was written with what is wanted.
func (w *Writer) verify(ctx context.Context, want Expected) (Descriptor, error) {
	got := Descriptor{Size: w.to.size}
	if w.hash != nil {
		got.Digest = digest.NewDigest(digest.SHA256, w.hash)
	}
	if want.Size >= 0 && want.Size != got.Size {
		return got, reject("commit content", ErrVerify, fmt.Sprintf("it has %d bytes, not %d", got.Size, want.Size))
	}
	if want.Digest == "" && w.hash != nil {
		return got, nil
	}
	if err := checkDigest(want.Digest); err != nil {
		return got, err
	}
	if w.hash == nil {
		got.Digest = want.Digest
		return got, nil
	}
	if want.Digest.Algorithm() != digest.SHA256 {
		if err := w.to.seal(ctx); err != nil {
			return got, failedWrite("commit content", err)
		}
		d, err := w.to.store.hashObject(ctx, w.to.path, want.Digest.Algorithm())
		if err != nil {
			return got, failedWrite("commit content", err)
		}
		got.Digest = d
	}
	if got.Digest != want.Digest {
		return got, reject("commit content", ErrVerify, fmt.Sprintf("its digest is %s, not %s", got.Digest, want.Digest))
	}
	return got, nil
}

// publish brings verified content to its place.
func (w *Writer) publish(ctx context.Context, got Descriptor) error {
	s, dest := w.to.store, blobPath(got.Digest)
	replaced, fresh := s.lookup(ctx, dest, got.Size)
	if fresh {
		// Its writer may not have synced the directory yet, and this commit must not be acknowledged before.
		return s.dirs.placed(dest)
	}
	if !w.to.sealed {
		if err := w.to.seal(ctx); err != nil {
			return err
		}
	}
	err := w.to.publish(ctx, dest, func() bool {
		size, fresh := s.lookup(ctx, dest, got.Size)
		return fresh && size == got.Size
	})
	if err == nil {
		w.counted = 0 // it is content now
		s.grew(-replaced)
	}
	return err
}

// lookup returns the size of what lies at a path, 0 when that is nothing, and whether it need not be written again: it has
// the right size and was stored lately. A backend that fails to answer counts as no: writing again does no harm.
func (s *Store) lookup(ctx context.Context, path string, size int64) (there int64, fresh bool) {
	fi, err := s.stat(ctx, path)
	if err != nil {
		return 0, false
	}
	age := s.now().Sub(fi.ModTime())
	return fi.Size(), fi.Size() == size && age > -FreshFor && age < FreshFor
}

// hashObject reads the object at a path and returns its digest.
func (s *Store) hashObject(ctx context.Context, path string, alg digest.Algorithm) (digest.Digest, error) {
	rc, err := s.driver.Reader(ctx, path, 0)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	h := alg.Hash()
	if _, err := io.Copy(h, contextReader{ctx.Err, rc}); err != nil {
		return "", err
	}
	return digest.NewDigest(alg, h), nil
}

// contextReader stops reading when its context ends; files would not.
type contextReader struct {
	ended func() error
	r     io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
