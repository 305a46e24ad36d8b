package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	maxReferrers = 10_000

	opReferrers = "list referrers"
)

// Referrers returns the image index that lists the manifests whose subject is d; an empty one when there are none.
// artifactType asks for one type of artifact; filtered says whether upstream heeded it. A registry without the referrers
// API is asked for the tag that the OCI specification falls back to.
func (c *Client) Referrers(
	ctx context.Context, repo name.Repository, d digest.Digest, artifactType string,
) (index []byte, filtered bool, err error) {
	s, err := c.blobSession(opReferrers, repo, d)
	if err != nil {
		return nil, false, err
	}
	u := s.url("referrers/" + d.String())
	if artifactType != "" {
		u.RawQuery = url.Values{"artifactType": {artifactType}}.Encode()
	}
	var l referrerList
	filtered = artifactType != ""
	r := transport.Request{URL: u, Accept: imagespec.MediaTypeImageIndex}
	err = s.ask(ctx, opReferrers, u.RequestURI(), true, func(ctx context.Context) error {
		err := s.pages(ctx, opReferrers, r, maxReferrerPages, maxReferrers, l.add)
		if noReferrersAPI(err) {
			filtered = false
			index, err = s.referrersTag(ctx, d)
			return err
		}
		if err == nil {
			index, err = l.index()
		}
		return err
	})
	return index, filtered && l.filtered, err
}

// referrerList joins the pages of a listing.
type referrerList struct {
	pages     int
	first     []byte
	manifests []json.RawMessage
	filtered  bool
}

// errNoIndex says that an answer is no image index: some servers have a page for every address.
var errNoIndex = errors.New("not an image index")

func (l *referrerList) add(page *document, limit int) (entries int, err error) {
	if t := header.ContentType(page.header); t != imagespec.MediaTypeImageIndex && !genericType(t) {
		return 0, &upstream.Error{
			Kind: upstream.Protocol, Status: http.StatusOK,
			Err: fmt.Errorf("%w: its type is %q", errNoIndex, upstream.Clean(t)),
		}
	}
	manifests, err := indexEntries(page.body)
	if err != nil {
		return 0, &upstream.Error{Kind: upstream.Protocol, Status: http.StatusOK, Err: err}
	}
	if len(manifests) > limit {
		return 0, tooLarge(int64(limit), "more entries")
	}
	l.manifests = append(l.manifests, manifests...)
	applied := filtersByType(page.header)
	if l.pages == 0 {
		l.first, l.filtered = page.body, applied
	}
	l.pages++
	l.filtered = l.filtered && applied
	return len(manifests), nil
}

// index returns the joined listing; a single page is passed on as it came.
func (l *referrerList) index() ([]byte, error) {
	if l.pages == 1 {
		return l.first, nil
	}
	return encodeIndex(l.manifests)
}

// referrersTag fetches the index under the tag that stands in for the referrers API: "sha256-<hex>".
func (s *session) referrersTag(ctx context.Context, d digest.Digest) ([]byte, error) {
	tag := name.Reference(string(d.Algorithm()) + "-" + d.Encoded()[:64]) // the specification truncates longer ones
	r := transport.Request{URL: s.url(manifestPath(tag)), Accept: manifestTypes}
	var m Manifest
	err := s.retry(ctx, opReferrers, func(ctx context.Context) (err error) {
		m, err = s.manifest(ctx, r, tag)
		return err
	})
	if upstream.Is(err, upstream.NotFound) {
		return encodeIndex(nil)
	}
	if err != nil {
		return nil, err
	}
	if _, err := indexEntries(m.Bytes); err != nil {
		return encodeIndex(nil) // the tag is used for something else
	}
	return m.Bytes, nil
}

// noReferrersAPI reports whether an error is how a registry answers that does not know the referrers API.
func noReferrersAPI(err error) bool {
	var e *upstream.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusNotImplemented:
		return true
	default:
		return errors.Is(err, errNoIndex)
	}
}

// indexEntries returns the descriptors of an image index as they were written. An error that is errNoIndex says that it is
// none at all.
func indexEntries(index []byte) ([]json.RawMessage, error) {
	says, shape := oci.Shape(index)
	if shape != imagespec.MediaTypeImageIndex || says != "" && says != shape {
		return nil, errNoIndex
	}
	x, err := image.ParseLayout(index)
	if err != nil {
		return nil, err
	}
	return x.Entries(), nil
}

func encodeIndex(manifests []json.RawMessage) ([]byte, error) {
	if manifests == nil {
		manifests = []json.RawMessage{}
	}
	return json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}{2, imagespec.MediaTypeImageIndex, manifests})
}

// filtersByType reports whether upstream says that it filtered by artifact type.
func filtersByType(h http.Header) bool {
	for _, value := range h.Values("OCI-Filters-Applied") {
		for filter := range strings.SplitSeq(value, ",") {
			if strings.TrimSpace(filter) == "artifactType" {
				return true
			}
		}
	}
	return false
}
