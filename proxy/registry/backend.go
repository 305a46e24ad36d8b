// Package registry speaks the OCI distribution protocol, version 1.1, to clients: the pull side, GET and HEAD. It knows
// nothing of upstreams, rechunking or storage; what it serves comes through the small interfaces of this file.
package registry

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
)

// Served says what kind of answer a manifest is; it is the value of the Strata-Served header.
type Served string

// The kinds of answer.
const (
	// Rechunked is an image that Strata made.
	Rechunked Served = "rechunked"
	// Original is the upstream's manifest, byte for byte.
	Original Served = "original"
	// Stale is an answer that could not be checked against the upstream, which is out of reach.
	Stale Served = "stale"
)

// Origin says where content that is served comes from. Its values are labels of metrics and logs.
type Origin string

// The origins.
const (
	// FromStore is the upstream's content, kept since an earlier request.
	FromStore Origin = "hit"
	// FromUpstream is the upstream's content, fetched for this request or for one at the same time.
	FromUpstream Origin = "miss"
	// MadeHere is content of a rechunked image.
	MadeHere Origin = "rechunked"
)

// Manifest is an image manifest, an index or an artifact manifest.
type Manifest struct {
	MediaType string
	Digest    digest.Digest
	Bytes     []byte
	// Source is the digest of the upstream's manifest that this one was made of, or its own digest when it is that.
	Source digest.Digest
	// Claimed says that Source is what the bytes say themselves: nothing may be allowed for the source's sake.
	Claimed bool
	Served  Served
	Origin  Origin
	// Staged says that who asks may matter, as it does for tags with a roll-out, and Rollout explains to clients why they
	// get this version: the value of the Strata-Rollout header.
	Staged  bool
	Rollout string
	// Earlier says that other hosts get a newer version by this tag.
	Earlier bool
}

// Manifests finds manifests. It is safe for concurrent use.
type Manifests interface {
	// Manifest returns the manifest that a tag or digest stands for now. A digest is answered with exactly the bytes
	// it names. Errors are *Error, or context errors.
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*Manifest, error)
}

// Blob is an open blob. Reading starts at the first byte; Seek works without reading what is skipped.
type Blob interface {
	io.ReadSeekCloser
	// Size is the blob's length in bytes.
	Size() int64
	// Origin says where the blob comes from.
	Origin() Origin
}

// Blobs finds layers and configs. It is safe for concurrent use.
type Blobs interface {
	// StatBlob returns a blob's size in bytes without fetching it.
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	// OpenBlob opens a blob. The caller closes it. A read may fail later, when the upstream does. The context lasts until
	// Close and ends reads that wait.
	OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (Blob, error)
	// OpenRanges is OpenBlob for who reads asked bytes of the blob, in one place or several, and no more.
	OpenRanges(ctx context.Context, repo name.Repository, d digest.Digest, asked int64) (Blob, error)
}

// Page selects a part of a sorted listing: at most N names after Last. N < 0 means no limit was asked for.
type Page struct {
	N    int
	Last string
}

// Listings enumerate. They are safe for concurrent use.
type Listings interface {
	// Tags returns a repository's tags in ascending byte order and whether more follow.
	Tags(ctx context.Context, repo name.Repository, p Page) (tags []string, more bool, err error)
	// Repositories returns the names of the repositories that were pulled through this proxy, in ascending byte order, and
	// whether more follow.
	Repositories(ctx context.Context, p Page) (names []string, more bool, err error)
}

// Referrers finds what refers to a manifest.
type Referrers interface {
	// Referrers returns the image index that lists the manifests whose subject is d. When artifactType is not empty and
	// filtered is false, the caller filters.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) (index []byte, filtered bool,
		err error)
}
