package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
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

// Head asks what a tag or digest stands for that nobody here may know. A registry that does not answer HEAD with a digest
// is asked with GET before anything is concluded. What the upstream did not have is not asked for again within 10
// seconds; questions in vain are bounded: the error wraps upstream.ErrHeld then.
func (c *Client) Head(ctx context.Context, repo name.Repository, ref name.Reference) (Descriptor, error) {
	return c.headManifest(ctx, repo, ref, true)
}

// Refresh is Head for those who have an answer already and only want to know whether it is still right. It is always
// asked, except when what the upstream still grants is needed for content that nobody has: then the error wraps
// upstream.ErrHeld.
func (c *Client) Refresh(ctx context.Context, repo name.Repository, ref name.Reference) (Descriptor, error) {
	return c.headManifest(ctx, repo, ref, false)
}

func (c *Client) headManifest(
	ctx context.Context, repo name.Repository, ref name.Reference, unknown bool,
) (Descriptor, error) {
	s, r, err := c.manifestRequest(opHead, repo, ref)
	if err != nil {
		return Descriptor{}, err
	}
	if !unknown {
		if err := s.host.Refresh(); err != nil {
			return Descriptor{}, s.fail(ctx, opHead, err)
		}
	}
	var d Descriptor
	h := heads{session: s}
	err = s.ask(ctx, opHead, manifestPath(ref), unknown, s.retried(opHead, func(ctx context.Context) error {
		d, err = s.head(ctx, &h, r, ref)
		return err
	}))
	if err == nil {
		s.named(ref, d.Digest)
	}
	return d, err
}

// head makes one attempt at Head.
func (s *session) head(ctx context.Context, h *heads, r transport.Request, ref name.Reference) (Descriptor, error) {
	refused := false
	if !s.headless.Load() {
		resp, err := h.ask(ctx, r)
		if err != nil {
			return Descriptor{}, err
		}
		if resp != nil {
			d, known := headerDigest(resp.Header)
			if resp.StatusCode == http.StatusOK && known && (!ref.IsDigest() || d.String() == string(ref)) {
				return Descriptor{MediaType: header.ContentType(resp.Header), Digest: d, Size: resp.ContentLength}, nil
			}
			refused = resp.StatusCode >= http.StatusBadRequest
		}
	}
	m, err := s.manifest(ctx, r, ref)
	if err != nil {
		return Descriptor{}, err
	}
	if refused {
		s.headless.Store(true)
	}
	return Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))}, nil
}

// Manifest fetches the manifest that a tag or digest stands for, of at most 4 MiB. Its bytes have the digest that was
// asked for and the one that upstream names, if it names one. A digest that a tag stood for a moment ago is asked for by
// the tag where the registry does not know it by itself.
func (c *Client) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (Manifest, error) {
	s, r, err := c.manifestRequest(opManifest, repo, ref)
	if err != nil {
		return Manifest{}, err
	}
	tag, known := c.latest().tags.Get(question{s.repo, string(ref)})
	var m Manifest
	err = s.ask(ctx, opManifest, manifestPath(ref), !known, s.retried(opManifest, func(ctx context.Context) error {
		m, err = s.manifest(ctx, r, ref)
		return err
	}))
	var e *upstream.Error
	if known && errors.As(err, &e) && e.Status/100 == 4 && !e.Transient() {
		if byTag, tagErr := s.manifestOfTag(ctx, tag, digest.Digest(ref)); tagErr == nil {
			return byTag, nil
		}
	}
	if err == nil {
		s.named(ref, m.Digest)
	}
	return m, err
}

// manifestOfTag fetches the manifest that a tag stands for if it is still the one with a digest.
func (s *session) manifestOfTag(ctx context.Context, tag name.Reference, want digest.Digest) (m Manifest, err error) {
	r := transport.Request{URL: s.url(manifestPath(tag)), Accept: manifestTypes}
	err = s.retry(ctx, opManifest, func(ctx context.Context) error {
		m, err = s.manifest(ctx, r, tag)
		return err
	})
	if err == nil && m.Digest != want {
		err = mismatch("the tag's manifest", want)
	}
	return m, err
}

// maxTagsKept bounds the digests of which it is remembered what tag stood for them.
const maxTagsKept = 4096

// named remembers that a tag stands for a digest.
func (s *session) named(ref name.Reference, d digest.Digest) {
	if !ref.IsDigest() && d != "" {
		s.client.tags.Add(question{s.repo, d.String()}, ref)
	}
}

// manifest makes one attempt at Manifest.
func (s *session) manifest(ctx context.Context, r transport.Request, ref name.Reference) (Manifest, error) {
	doc, err := s.get(ctx, r, image.MaxDocument,
		func(h http.Header, body []byte) bool { return rightManifest(h, body, ref) })
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
	if !known && !ref.IsDigest() {
		if err := plausible(doc.body); err != nil {
			return Manifest{}, err
		}
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

// rightManifest reports whether bytes are the manifest that was asked for: by its digest, by the one that the registry
// names, or, where there is neither, by being JSON.
func rightManifest(h http.Header, body []byte, ref name.Reference) bool {
	if ref.IsDigest() {
		want := digest.Digest(ref)
		return want.Algorithm().FromBytes(body) == want
	}
	if said, ok := headerDigest(h); ok {
		return said.Algorithm().FromBytes(body) == said
	}
	return json.Valid(body)
}

// plausible refuses what a 200 brought in place of a manifest, where no digest tells: a page for people, an error document.
func plausible(body []byte) error {
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return &upstream.Error{Kind: upstream.Protocol, Status: http.StatusOK, Err: errors.New("the answer is no manifest")}
	}
	if codes := upstream.ErrorCodes(text); len(codes) > 0 {
		return &upstream.Error{
			Kind: upstream.StatusKind(http.StatusOK, codes), Status: http.StatusOK,
			Code: codes[0], Err: errors.New(codes[0]),
		}
	}
	return nil
}

func mismatch(what string, want digest.Digest) error {
	return upstream.Errorf(upstream.Invalid, "%w: %s is not %s", upstream.ErrVerify, what, want)
}

// manifestRequest checks the names in a request for a manifest.
func (c *Client) manifestRequest(op string, repo name.Repository, ref name.Reference) (*session, transport.Request, error) {
	s, err := c.session(op, repo)
	if err != nil {
		return nil, transport.Request{}, err
	}
	if _, err := name.ParseRef(string(ref)); err != nil {
		return nil, transport.Request{}, &upstream.Error{
			Host: s.repo.Host(), Repository: s.repo.Path(), Op: op, Kind: upstream.NotFound, Err: upstream.Scrub(err),
		}
	}
	return s, transport.Request{URL: s.url(manifestPath(ref)), Accept: manifestTypes}, nil
}

// manifestPath is where a repository has a manifest.
func manifestPath(ref name.Reference) string { return "manifests/" + string(ref) }

// headerDigest returns the digest that the registry names, if it names a well-formed one.
func headerDigest(h http.Header) (digest.Digest, bool) {
	d, err := name.ParseDigest(h.Get("Docker-Content-Digest"))
	return d, err == nil
}
