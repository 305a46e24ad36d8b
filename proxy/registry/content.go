package registry

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	cacheForever = "public, max-age=31536000, immutable"
	cachePrivate = "private, max-age=31536000, immutable"
	cacheChecked = "no-cache, must-revalidate"
)

func etag(d digest.Digest) string { return `"` + d.String() + `"` }

// setContentHeaders sets what manifests and blobs have in common. A digest is answered with the same bytes for ever.
func setContentHeaders(w *response, mediaType string, d digest.Digest, byDigest bool) {
	h := w.Header()
	h.Set("Content-Type", contentType(mediaType))
	h.Set("Content-Disposition", "attachment")
	h.Set(headerDigest, d.String())
	h.Set("Etag", etag(d))
	h.Set("Cache-Control", cacheChecked)
	switch {
	case byDigest && w.private:
		h.Set("Cache-Control", cachePrivate)
	case byDigest:
		h.Set("Cache-Control", cacheForever)
	case w.private:
		h.Set("Cache-Control", "private, "+cacheChecked)
	}
	if w.private {
		h.Add("Vary", "Authorization")
	}
}

// serveContent sends content of a size, or the ranges of it that the request asks for, or 304 when the client has it. It
// differs from http.ServeContent in three ways: errors get documents, ranges that HTTP tells servers to ignore are ignored,
// and content that turns out to have another size is an error, also when that shows while it is sent.
func serveContent(w *response, r *http.Request, content io.ReadSeeker, size int64) error {
	if e := checkRanges(r); e != nil {
		return e
	}
	if rangeIgnored(r) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	g := &guard{response: w, size: size}
	http.ServeContent(g, r, "", time.Time{}, content)
	switch g.refused {
	case 0:
	case http.StatusPreconditionFailed:
		return &Error{Status: g.refused, Code: codePrecondition, Message: "the digest is not the one of If-Match"}
	case http.StatusRequestedRangeNotSatisfiable:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return RangeInvalid(fmt.Sprintf("no range lies within the %d bytes of the content", size))
	default:
		return internal(fmt.Errorf("the content does not have %d bytes", size))
	}
	return checkComplete(w, r)
}

// plainRequest reports whether a request asks for all of some content, whatever the client has of it.
func plainRequest(r *http.Request) bool {
	for _, header := range [...]string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		"If-Range"} {
		if len(r.Header[header]) > 0 {
			return false
		}
	}
	return true
}

// serveWhole answers a plain request as serveContent would, in one write.
func serveWhole(w *response, r *http.Request, content []byte) error {
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("%d of %d bytes sent: %w", w.bytes, len(content), err)
	}
	return nil
}

// checkComplete returns an error when less was sent than announced.
func checkComplete(w *response, r *http.Request) error {
	if r.Method == http.MethodHead || w.status != http.StatusOK && w.status != http.StatusPartialContent {
		return nil
	}
	want, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("content without length: %w", err)
	case w.bytes == want:
		return nil
	case w.err != nil:
		return fmt.Errorf("%d of %d bytes sent: %w", w.bytes, want, w.err)
	}
	return fmt.Errorf("%d of %d bytes sent: %w", w.bytes, want, io.ErrUnexpectedEOF)
}

// rangeIgnored follows RFC 9110, 14.2: ranges are defined for GET only, and those in unknown units do not count.
func rangeIgnored(r *http.Request) bool {
	header := r.Header.Get("Range")
	return header != "" && (r.Method != http.MethodGet || !strings.HasPrefix(header, "bytes="))
}

// unchanged reports whether the client says that it has the content with this ETag, so that there is no need to open it.
func unchanged(r *http.Request, etag string) bool {
	if r.Header.Get("If-Match") != "" {
		return false
	}
	for _, header := range r.Header.Values("If-None-Match") {
		for candidate := range strings.SplitSeq(header, ",") {
			if candidate = strings.TrimSpace(candidate); candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// guard is the ResponseWriter for http.ServeContent. It holds back the plain-text errors that come from there, and headers
// that announce another size than the content has.
type guard struct {
	*response
	size    int64
	refused int // the status of the error, or 0
}

// WriteHeader passes on what is no error.
func (g *guard) WriteHeader(status int) {
	switch {
	case status >= 400:
		g.refused = status
	case !g.sized(status):
		g.refused = http.StatusInternalServerError
	default:
		g.response.WriteHeader(status)
	}
}

// sized reports whether the headers speak of the size that the content has. Multipart answers have it in each part only.
func (g *guard) sized(status int) bool {
	h, size := g.Header(), strconv.FormatInt(g.size, 10)
	switch status {
	case http.StatusOK:
		return h.Get("Content-Length") == size
	case http.StatusPartialContent:
		_, total, single := strings.Cut(h.Get("Content-Range"), "/")
		return !single || total == size
	}
	return true
}

// Write drops what belongs to an answer that was held back.
func (g *guard) Write(p []byte) (int, error) {
	if g.refused != 0 {
		return len(p), nil
	}
	return g.response.Write(p)
}

// ReadFrom drops what belongs to an answer that was held back.
func (g *guard) ReadFrom(src io.Reader) (int64, error) {
	if g.refused != 0 {
		return 0, nil
	}
	return g.response.ReadFrom(src)
}
