package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
)

// FileBlob is a Blob that may be a plain file, which the kernel can send by itself.
type FileBlob interface {
	Blob
	// File returns the file that holds the blob, all of it and nothing else, open for reading. The file belongs to the Blob,
	// and its offset to the Blob's user. False: there is no such file, read the Blob.
	File() (*os.File, bool)
}

const blobMediaType = "application/octet-stream"

// errBlobRead tells what the backend failed at from a client that left.
var errBlobRead = errors.New("reading the blob failed")

// blob answers with a blob. Only a body needs the blob to be opened, which may mean a download from upstream.
func (h *handler) blob(w *response, r *http.Request, repo name.Repository, reference string) error {
	d, err := name.ParseDigest(reference)
	if err != nil {
		return nameError(err)
	}
	info := requestInfo(r)
	info.Digest = d
	info.setReference(name.Reference(d))
	if r.Method == http.MethodHead || unchanged(r, etag(d)) {
		return h.statBlob(w, r, repo, d)
	}
	if e := checkRanges(r); e != nil {
		return e
	}
	if h.redirectBlob(w, r, repo, d) {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var b Blob
	if n, ok := askedBytes(r); ok {
		b, err = h.Blobs.OpenRanges(ctx, repo, d, n)
	} else {
		b, err = h.Blobs.OpenBlob(ctx, repo, d)
	}
	if err != nil {
		return err
	}
	info.Origin = b.Origin()
	c := newBlobContent(b, func(p any) { h.panicked(r, p) })
	defer c.Close()
	defer cancel() // before Close, for the same reason as below
	setContentHeaders(w, blobMediaType, d, true)
	if f, ok := plainFile(b, c.size); ok {
		err = serveContent(w, r, f, c.size)
		info.ToEnd = err == nil && toEnd(w, c.size)
		return err
	}
	if e := checkScattered(r, c.size); e != nil {
		return e
	}
	err = serveContent(w, r, c, c.size)
	if err == nil {
		info.ToEnd = toEnd(w, c.size)
		return nil
	}
	cancel() // a read that hangs holds what readError and Close wait for
	if cause := c.readError(); cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w: %w", errBlobRead, cause)
	}
	return err
}

// toEnd reports whether an answer that was sent in full ends with the last byte of the content. Of several ranges nobody can
// tell what they are for.
func toEnd(w *response, size int64) bool {
	switch w.status {
	case http.StatusOK:
		return true
	case http.StatusPartialContent:
		return strings.HasSuffix(w.Header().Get("Content-Range"), fmt.Sprintf("-%d/%d", size-1, size))
	}
	return false
}

// statBlob answers a HEAD, and a GET of what the client has.
func (h *handler) statBlob(w *response, r *http.Request, repo name.Repository, d digest.Digest) error {
	size, err := h.Blobs.StatBlob(r.Context(), repo, d)
	if err != nil {
		return err
	}
	setContentHeaders(w, blobMediaType, d, true)
	if unchanged(r, etag(d)) {
		w.Header().Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return serveContent(w, r, noContent(size), size)
}

// noContent stands for content of a size that nobody reads.
func noContent(size int64) io.ReadSeeker { return io.NewSectionReader(noBytes{}, 0, size) }

// noBytes stands for content of which only the size is of interest.
type noBytes struct{}

func (noBytes) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

// plainFile returns the file behind a blob, if there is one and it has the blob's size.
func plainFile(b Blob, size int64) (*os.File, bool) {
	fb, ok := b.(FileBlob)
	if !ok {
		return nil, false
	}
	f, ok := fb.File()
	if !ok {
		return nil, false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return nil, false
	}
	return f, true
}
