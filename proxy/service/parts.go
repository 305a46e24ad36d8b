package service

import (
	"context"
	"errors"
	"fmt"
	"io"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

const (
	// farAhead is how far behind a download may be, in bytes, for a reader to wait until it arrives. Whoever is farther ahead gets
	// parts of the blob by requests of their own.
	farAhead = 8 << 20
	// partSize is the size of such a part, maxParts the number kept in memory.
	partSize = 1 << 20
	maxParts = 24
	// partsAtOnce bounds the requests for parts.
	partsAtOnce = 8
	// maxUnranged bounds the blobs that are remembered for being given whole only.
	maxUnranged = 1024
)

// errUnranged says that the upstream gives no parts of a blob.
var errUnranged = errors.New("the upstream gives no parts of this blob")

// parts are pieces of blobs that are far ahead of the downloads under way: what clients ask for that read a blob's end first. Each is
// fetched once however many want it, all of it before anybody reads, so that no client's pace holds an upstream's connection. They are
// not verified; nothing of them is stored. A parts is safe for concurrent use.
type parts struct {
	fetch    func(ctx context.Context, repo name.Repository, d digest.Digest, offset, length int64) (io.ReadCloser, error)
	running  singleflight.Group
	slots    chan struct{}
	kept     *lru.Cache[partKey, []byte]
	unranged *lru.Cache[digest.Digest, struct{}]
}

// partKey names the part with a number, from 0 on, of a blob.
type partKey struct {
	blob   digest.Digest
	number int64
}

func newParts(fetcher *client.Client) *parts {
	kept, _ := lru.New[partKey, []byte](maxParts) // fails for no size but 0
	unranged, _ := lru.New[digest.Digest, struct{}](maxUnranged)
	return &parts{fetch: fetcher.BlobRange, slots: make(chan struct{}, partsAtOnce), kept: kept, unranged: unranged}
}

// get returns the bytes of a blob of a size from an offset on, up to the part's end. They must not be changed.
func (p *parts) get(ctx context.Context, s *Service, repo name.Repository, d digest.Digest, size, offset int64) ([]byte, error) {
	key := partKey{d, offset / partSize}
	start := key.number * partSize
	if b, ok := p.kept.Get(key); ok {
		return b[offset-start:], nil
	}
	if p.unranged.Contains(d) {
		return nil, errUnranged
	}
	b, err := shared(ctx, s, &p.running, fmt.Sprint(d, " ", key.number), func(ctx context.Context) ([]byte, error) {
		return p.load(ctx, repo, key, min(partSize, size-start))
	})
	if err != nil {
		return nil, err
	}
	return b[offset-start:], nil
}

// load fetches a part.
func (p *parts) load(ctx context.Context, repo name.Repository, key partKey, length int64) ([]byte, error) {
	if b, ok := p.kept.Get(key); ok {
		return b, nil
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	body, err := p.fetch(ctx, repo, key.blob, key.number*partSize, length)
	if errors.Is(err, upstream.ErrRangeIgnored) || errors.Is(err, upstream.ErrRangeNotSatisfiable) {
		p.unranged.Add(key.blob, struct{}{})
		return nil, errUnranged
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, length)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, fmt.Errorf("part of %s: %w", key.blob, err)
	}
	p.kept.Add(key, b)
	return b, nil
}
