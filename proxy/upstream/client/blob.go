package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
	"github.com/strata-oci/strata/proxy/verify"
)

const (
	opStat  = "stat blob"
	opBlob  = "get blob"
	opRange = "get blob range"
)

// StatBlob returns a blob's size in bytes without fetching it.
func (c *Client) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	s, err := c.blobSession(opStat, repo, d)
	if err != nil {
		return 0, err
	}
	var size int64
	h := heads{session: s}
	err = s.ask(ctx, opStat, blobPath(d), true, s.retried(opStat, func(ctx context.Context) error {
		size, err = s.statBlob(ctx, &h, d)
		return err
	}))
	return size, err
}

// statBlob makes one attempt. A registry whose HEAD does not tell the size, for whatever reason, is asked for the first
// byte.
func (s *session) statBlob(ctx context.Context, h *heads, d digest.Digest) (int64, error) {
	resp, err := h.ask(ctx, transport.Request{URL: s.url(blobPath(d))})
	if err != nil {
		return 0, err
	}
	if resp != nil && resp.StatusCode == http.StatusOK && resp.ContentLength >= 0 {
		return resp.ContentLength, nil
	}
	resp, err = s.send(ctx, transport.Request{Method: http.MethodGet, URL: s.url(blobPath(d)), Range: "bytes=0-0"})
	if err != nil {
		return 0, err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		transport.Discard(resp.Response)
		if r, ok := header.ContentRange(resp.Header.Get("Content-Range")); ok && r.Total >= 0 {
			return r.Total, nil
		}
	case http.StatusOK:
		resp.Body.Close()
		if resp.ContentLength >= 0 {
			return resp.ContentLength, nil
		}
	case http.StatusRequestedRangeNotSatisfiable: // an empty blob has no first byte
		transport.Discard(resp.Response)
		if d == d.Algorithm().FromBytes(nil) {
			return 0, nil
		}
	default:
		return 0, upstream.StatusError(resp.Response, s.client.options.Now())
	}
	return 0, &upstream.Error{
		Kind: upstream.Protocol, Status: resp.StatusCode, Err: fmt.Errorf("upstream does not tell the blob's size"),
	}
}

// Blob streams a whole blob and returns its size, -1 when neither the caller nor upstream knows it. size is what the
// caller expects, from a manifest say; -1 is for anything, and for a blob that a stranger may have made up (see Head).
// What upstream says of the size is a claim: nothing should be booked for it before bytes come. A body that breaks is
// resumed where it stood. Read returns the last byte and io.EOF only of the right content; an error that wraps
// upstream.ErrVerify says that what was read so far is not the blob. Reads end when ctx does.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error) {
	s, err := c.blobSession(opBlob, repo, d)
	if err != nil {
		return nil, 0, err
	}
	f := &blobFetch{session: s, url: s.url(blobPath(d)), size: max(size, -1)}
	r := &resumingReader{ctx: ctx, session: s, op: opBlob, end: -1, open: f.open}
	if err := s.ask(ctx, opBlob, blobPath(d), size < 0, s.retried(opBlob, r.reopen)); err != nil {
		return nil, 0, err
	}
	r.end = f.size
	return &verifiedBlob{Reader: verify.NewReader(r, d, f.size), report: s.invalid(opBlob)}, f.size, nil
}

// BlobRange streams length bytes of a blob from offset on; a negative length means up to the end, and a blob that ends
// earlier gives fewer. What comes is not verified. When upstream would send the whole blob instead, the error wraps
// upstream.ErrRangeIgnored; when offset is at or after the blob's end, upstream.ErrRangeNotSatisfiable.
func (c *Client) BlobRange(
	ctx context.Context, repo name.Repository, d digest.Digest, offset, length int64,
) (io.ReadCloser, error) {
	s, err := c.blobSession(opRange, repo, d)
	if err != nil {
		return nil, err
	}
	end := int64(-1)
	if length >= 0 {
		end = offset + length
	}
	if offset < 0 || length == 0 || (length > 0 && end < offset) {
		err := fmt.Errorf("%w: %d bytes from %d on", upstream.ErrRangeNotSatisfiable, length, offset)
		return nil, s.fail(ctx, opRange, &upstream.Error{Kind: upstream.Protocol, Err: err})
	}
	f := &rangeFetch{session: s, url: s.url(blobPath(d)), end: end, total: -1}
	r := &resumingReader{ctx: ctx, session: s, op: opRange, pos: offset, end: end, open: f.open}
	if err := s.retry(ctx, opRange, r.reopen); err != nil {
		return nil, err
	}
	r.end = f.end
	size := int64(-1)
	if f.end >= 0 {
		size = f.end - offset
	}
	return &verifiedBlob{Reader: verify.NewReader(r, "", size), report: s.invalid(opRange)}, nil
}

// blobSession checks the names in a request for a blob.
func (c *Client) blobSession(op string, repo name.Repository, d digest.Digest) (*session, error) {
	s, err := c.session(op, repo)
	if err != nil {
		return nil, err
	}
	if _, err := name.ParseDigest(string(d)); err != nil {
		return nil, &upstream.Error{
			Host: s.repo.Host(), Repository: s.repo.Path(), Op: op, Kind: upstream.NotFound, Err: upstream.Scrub(err),
		}
	}
	return s, nil
}

// invalid returns what turns a verification failure into an error of an operation.
func (s *session) invalid(op string) func(error) error {
	return func(err error) error {
		s.client.options.Observer.Error(s.repo.Host(), upstream.Invalid)
		return &upstream.Error{Host: s.repo.Host(), Repository: s.repo.Path(), Op: op, Kind: upstream.Invalid, Err: err}
	}
}
