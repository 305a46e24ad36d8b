package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
)

func (s *session) blobURL(d digest.Digest) *url.URL { return s.url("blobs/" + d.String()) }

// blobFetch opens a whole blob from any position.
type blobFetch struct {
	session *session
	url     *url.URL
	size    int64 // -1 until it is known
	whole   bool  // upstream cannot be trusted with ranges
}

// open makes one attempt to get the bytes from pos on. An upstream that answers with the whole blob, or with another range than
// the one asked for, is read from the start: bytes must never end up in the wrong place.
func (f *blobFetch) open(ctx context.Context, pos int64) (io.ReadCloser, error) {
	if pos > 0 && !f.whole {
		b, err := f.openRange(ctx, pos)
		if err != nil || b != nil {
			return b, err
		}
		f.whole = true
	}
	resp, err := f.session.send(ctx, request{method: http.MethodGet, url: f.url, blob: true})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.Response, f.session.client.now())
	}
	return f.skip(resp, pos)
}

// openRange asks for the bytes from pos on. Without a body and an error, the blob has to be asked for whole.
func (f *blobFetch) openRange(ctx context.Context, pos int64) (io.ReadCloser, error) {
	resp, err := f.session.send(ctx, request{method: http.MethodGet, url: f.url, rng: rangeHeader(pos, f.size), blob: true})
	if errors.Is(err, ErrRangeIgnored) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return f.skip(resp, pos)
	case http.StatusPartialContent:
		r, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if ok && r.first == pos && (f.size < 0 || r.last == f.size-1) && (r.total < 0 || f.size < 0 || r.total == f.size) {
			return resp.Body, nil
		}
		return nil, resp.Body.Close()
	case http.StatusRequestedRangeNotSatisfiable:
		discard(resp.Body)
		return nil, nil
	default:
		return nil, statusError(resp.Response, f.session.client.now())
	}
}

// skip checks the size of a whole blob and drops what was delivered before.
func (f *blobFetch) skip(resp *response, pos int64) (io.ReadCloser, error) {
	if resp.ContentLength >= 0 {
		if f.size >= 0 && resp.ContentLength != f.size {
			resp.Body.Close()
			return nil, &Error{Kind: Invalid, Err: fmt.Errorf("%w: upstream's has %d bytes, not %d", ErrVerify, resp.ContentLength, f.size)}
		}
		f.size = resp.ContentLength
	}
	if _, err := io.CopyN(io.Discard, resp.Body, pos); err != nil {
		resp.Body.Close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return resp.Body, nil
}

// rangeFetch opens a part of a blob.
type rangeFetch struct {
	session *session
	url     *url.URL
	end     int64 // first byte that is not wanted; -1 for the blob's end until that is known
	total   int64 // the blob's size, -1 until it is known
}

// open makes one attempt to get the bytes from pos up to the end. It is no download by the limits: it is short, and somebody waits.
func (f *rangeFetch) open(ctx context.Context, pos int64) (io.ReadCloser, error) {
	resp, err := f.session.send(ctx, request{method: http.MethodGet, url: f.url, rng: rangeHeader(pos, f.end)})
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		resp.Body.Close()
		return nil, &Error{Kind: Protocol, Status: resp.StatusCode, Err: ErrRangeIgnored}
	case http.StatusRequestedRangeNotSatisfiable:
		discard(resp.Body)
		return nil, &Error{Kind: Protocol, Status: resp.StatusCode, Err: ErrRangeNotSatisfiable}
	default:
		return nil, statusError(resp.Response, f.session.client.now())
	}
	if err := f.accept(resp, pos); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}

// accept checks that a partial answer is a part of what was asked for, and learns where the blob ends. An answer that ends early
// is continued by the next request.
func (f *rangeFetch) accept(resp *response, pos int64) error {
	header := resp.Header.Get("Content-Range")
	r, ok := parseContentRange(header)
	switch {
	case !ok || r.first != pos,
		f.end >= 0 && r.last >= f.end,
		f.total >= 0 && r.total >= 0 && r.total != f.total,
		resp.ContentLength >= 0 && resp.ContentLength != r.last-r.first+1:
		return &Error{Kind: Invalid, Status: resp.StatusCode,
			Err: fmt.Errorf("%w: asked for %q, got %q", ErrVerify, rangeHeader(pos, f.end), clean(header))}
	case r.total >= 0 && (f.end < 0 || r.total < f.end):
		f.end = r.total
	case f.end < 0:
		f.end = r.last + 1
	}
	f.total = max(f.total, r.total)
	return nil
}

// rangeHeader returns the Range header for the bytes from pos up to end, or to the last one when end is negative.
func rangeHeader(pos, end int64) string {
	if end < 0 {
		return fmt.Sprintf("bytes=%d-", pos)
	}
	return fmt.Sprintf("bytes=%d-%d", pos, end-1)
}
