package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// blobPath is where a repository has a blob.
func blobPath(d digest.Digest) string { return "blobs/" + d.String() }

// blobFetch opens a whole blob from any position.
type blobFetch struct {
	session *session
	url     *url.URL
	size    int64 // -1 until it is known
	whole   bool  // upstream cannot be trusted with ranges
}

// open makes one attempt to get the bytes from pos on. An upstream that answers with the whole blob, or with another
// range than the one asked for, is read from the start: bytes must never end up in the wrong place.
func (f *blobFetch) open(ctx context.Context, pos int64) (io.ReadCloser, error) {
	if pos > 0 && !f.whole {
		b, err := f.openRange(ctx, pos)
		if err != nil || b != nil {
			return b, err
		}
		f.whole = true
	}
	resp, err := f.session.send(ctx, transport.Request{Method: http.MethodGet, URL: f.url, Blob: true})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK && !isWhole(resp) {
		return nil, upstream.StatusError(resp.Response, f.session.client.options.Now())
	}
	return f.skip(resp, pos)
}

// isWhole reports whether a partial answer, which nobody asked for, has all there is.
func isWhole(resp *transport.Response) bool {
	r, ok := header.ContentRange(resp.Header.Get("Content-Range"))
	return ok && resp.StatusCode == http.StatusPartialContent && r.First == 0 && r.Last == r.Total-1
}

// openRange asks for the bytes from pos on. Without a body and an error, the blob has to be asked for whole.
func (f *blobFetch) openRange(ctx context.Context, pos int64) (io.ReadCloser, error) {
	resp, err := f.session.send(ctx, transport.Request{
		Method: http.MethodGet, URL: f.url, Range: rangeHeader(pos, f.size), Blob: true,
	})
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return f.skip(resp, pos)
	case http.StatusPartialContent:
		r, ok := header.ContentRange(resp.Header.Get("Content-Range"))
		rest := f.size < 0 || r.Last == f.size-1 && (r.Total < 0 || r.Total == f.size)
		if ok && rest && r.First == pos && coding(resp.Header) == "" {
			return resp.Body, nil
		}
		return nil, resp.Body.Close()
	case http.StatusRequestedRangeNotSatisfiable:
		transport.Discard(resp.Response)
		return nil, nil
	default:
		return nil, upstream.StatusError(resp.Response, f.session.client.options.Now())
	}
}

// skip checks the size of a whole blob and drops what was delivered before.
func (f *blobFetch) skip(resp *transport.Response, pos int64) (io.ReadCloser, error) {
	if resp.ContentLength >= 0 {
		if f.size >= 0 && resp.ContentLength != f.size {
			resp.Body.Close()
			return nil, upstream.Errorf(upstream.Invalid, "%w: upstream's has %d bytes, not %d",
				upstream.ErrVerify, resp.ContentLength, f.size)
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

// open makes one attempt to get the bytes from pos up to the end. It is no download by the limits: it is short, and
// somebody waits.
func (f *rangeFetch) open(ctx context.Context, pos int64) (io.ReadCloser, error) {
	resp, err := f.session.send(ctx, transport.Request{Method: http.MethodGet, URL: f.url, Range: rangeHeader(pos, f.end)})
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		resp.Body.Close()
		return nil, &upstream.Error{Kind: upstream.Protocol, Status: resp.StatusCode, Err: upstream.ErrRangeIgnored}
	case http.StatusRequestedRangeNotSatisfiable:
		transport.Discard(resp.Response)
		return nil, &upstream.Error{Kind: upstream.Protocol, Status: resp.StatusCode, Err: upstream.ErrRangeNotSatisfiable}
	default:
		return nil, upstream.StatusError(resp.Response, f.session.client.options.Now())
	}
	if c := coding(resp.Header); c != "" {
		resp.Body.Close()
		err := fmt.Errorf("%w: it sent a part of a blob encoded as %s", upstream.ErrRangeIgnored, c)
		return nil, &upstream.Error{Kind: upstream.Protocol, Status: resp.StatusCode, Err: err}
	}
	if err := f.accept(resp, pos); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}

// accept checks that a partial answer is a part of what was asked for, and learns where the blob ends. An answer that
// ends early is continued by the next request.
func (f *rangeFetch) accept(resp *transport.Response, pos int64) error {
	said := resp.Header.Get("Content-Range")
	r, ok := header.ContentRange(said)
	switch {
	case !ok || r.First != pos,
		f.end >= 0 && r.Last >= f.end,
		f.total >= 0 && r.Total >= 0 && r.Total != f.total,
		resp.ContentLength >= 0 && resp.ContentLength != r.Last-r.First+1:
		return &upstream.Error{Kind: upstream.Invalid, Status: resp.StatusCode,
			Err: fmt.Errorf("%w: asked for %q, got %q", upstream.ErrVerify, rangeHeader(pos, f.end), upstream.Clean(said))}
	case r.Total >= 0 && (f.end < 0 || r.Total < f.end):
		f.end = r.Total
	case f.end < 0:
		f.end = r.Last + 1
	}
	f.total = max(f.total, r.Total)
	return nil
}

// rangeHeader returns the Range header for the bytes from pos up to end, or to the last one when end is negative.
func rangeHeader(pos, end int64) string {
	if end < 0 {
		return fmt.Sprintf("bytes=%d-", pos)
	}
	return fmt.Sprintf("bytes=%d-%d", pos, end-1)
}
