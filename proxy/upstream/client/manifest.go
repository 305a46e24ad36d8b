package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	maxManifest = 4 << 20 // the OCI distribution specification's recommendation

	opHead     = "head manifest"
	opManifest = "get manifest"
)

// Descriptor is what an upstream says about a manifest without sending it.
type Descriptor struct {
	MediaType string
	Digest    digest.Digest
	Size      int64 // in bytes, -1 when upstream did not say
}

// Manifest is a manifest or an index, byte for byte as upstream has it.
type Manifest struct {
	MediaType string
	Digest    digest.Digest // of Bytes
	Bytes     []byte
}

// Head asks what a tag or digest stands for. Registries that do not answer HEAD with a digest are asked with GET.
func (c *Client) Head(ctx context.Context, repo name.Repository, ref name.Reference) (Descriptor, error) {
	s, r, err := c.manifestRequest(opHead, repo, ref)
	if err != nil {
		return Descriptor{}, err
	}
	var d Descriptor
	err = s.retry(ctx, opHead, func(ctx context.Context) error {
		d, err = s.head(ctx, r, ref)
		return err
	})
	return d, err
}

// Refresh is Head for those who have an answer already and only want to know whether it is still right. They step back when what
// the upstream still grants is needed for content that nobody has: then the error wraps upstream.ErrHeld, and nothing is asked.
func (c *Client) Refresh(ctx context.Context, repo name.Repository, ref name.Reference) (Descriptor, error) {
	s, _, err := c.manifestRequest(opHead, repo, ref)
	if err != nil {
		return Descriptor{}, err
	}
	if err := s.host.Refresh(); err != nil {
		return Descriptor{}, s.fail(ctx, opHead, err)
	}
	return c.Head(ctx, repo, ref)
}

// head makes one attempt at Head.
func (s *session) head(ctx context.Context, r transport.Request, ref name.Reference) (Descriptor, error) {
	r.Method = http.MethodHead
	resp, err := s.send(ctx, r)
	if err != nil {
		return Descriptor{}, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		resp.Body.Close()
		d, known := headerDigest(resp.Header)
		if known && (!ref.IsDigest() || d.String() == string(ref)) {
			return Descriptor{MediaType: header.ContentType(resp.Header), Digest: d, Size: resp.ContentLength}, nil
		}
	case resp.StatusCode == http.StatusMethodNotAllowed, resp.Redirected && clientError(resp.StatusCode):
		resp.Body.Close() // a URL that is signed for GET refuses HEAD
	default:
		return Descriptor{}, upstream.StatusError(resp.Response, s.client.options.Now())
	}
	m, err := s.manifest(ctx, r, ref)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))}, nil
}

func clientError(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests
}

// Manifest fetches the manifest that a tag or digest stands for, of at most 4 MiB. Its bytes have the digest that was asked for
// and the one that upstream names, if it names one.
func (c *Client) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (Manifest, error) {
	s, r, err := c.manifestRequest(opManifest, repo, ref)
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	err = s.retry(ctx, opManifest, func(ctx context.Context) error {
		m, err = s.manifest(ctx, r, ref)
		return err
	})
	return m, err
}

// manifest makes one attempt at Manifest.
func (s *session) manifest(ctx context.Context, r transport.Request, ref name.Reference) (Manifest, error) {
	doc, err := s.get(ctx, r, maxManifest)
	if err != nil {
		return Manifest{}, err
	}
	said, known := headerDigest(doc.header)
	if ref.IsDigest() {
		if want := digest.Digest(ref); want.Algorithm().FromBytes(doc.body) != want {
			return Manifest{}, mismatch("the manifest", want)
		}
	}
	if known && said.Algorithm().FromBytes(doc.body) != said {
		return Manifest{}, mismatch("the manifest", said)
	}
	m := Manifest{MediaType: mediaType(doc.header, doc.body), Digest: digest.FromBytes(doc.body), Bytes: doc.body}
	switch {
	case ref.IsDigest():
		m.Digest = digest.Digest(ref)
	case known:
		m.Digest = said
	}
	return m, nil
}

func mismatch(what string, want digest.Digest) error {
	return &upstream.Error{Kind: upstream.Invalid, Err: fmt.Errorf("%w: %s is not %s", upstream.ErrVerify, what, want)}
}

// manifestRequest checks the names in a request for a manifest.
func (c *Client) manifestRequest(op string, repo name.Repository, ref name.Reference) (*session, transport.Request, error) {
	s, err := c.session(op, repo)
	if err != nil {
		return nil, transport.Request{}, err
	}
	if _, err := name.ParseRef(string(ref)); err != nil {
		return nil, transport.Request{}, &upstream.Error{Host: s.repo.Host(), Repository: s.repo.Path(), Op: op, Kind: upstream.NotFound, Err: upstream.Scrub(err)}
	}
	return s, transport.Request{URL: s.url("manifests/" + string(ref)), Accept: manifestTypes}, nil
}

// headerDigest returns the digest that the registry names, if it names a well-formed one.
func headerDigest(h http.Header) (digest.Digest, bool) {
	d, err := name.ParseDigest(h.Get("Docker-Content-Digest"))
	return d, err == nil
}
