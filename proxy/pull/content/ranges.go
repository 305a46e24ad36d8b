package content

import (
	"context"
	"errors"
	"fmt"
	"io"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	// farAhead is how far behind a download may be, in bytes, for a reader to wait until it arrives. Whoever is farther
	// ahead gets ranges of the blob by requests of their own.
	farAhead = 8 << 20
	// rangeSize is the size of such a range, maxRanges the number kept in memory.
	rangeSize = 1 << 20
	maxRanges = 24
	// rangesAtOnce bounds the requests for ranges.
	rangesAtOnce = 8
	// maxUnranged bounds the blobs that are remembered for being given whole only.
	maxUnranged = 1024
)

// errUnranged says that the upstream gives no ranges of a blob.
var errUnranged = errors.New("the upstream gives no ranges of this blob")

// ranges are pieces of blobs that are far ahead of the downloads under way: what clients ask for that read a blob's end
// first. Each is fetched once however many want it from a repository, all of it before anybody reads, so that no
// client's pace holds an upstream's connection. They are not verified, so none is kept for another repository, and
// nothing of them is stored. They are safe for concurrent use.
type ranges struct {
	source   BlobSource
	running  *background.Shared[[]byte]
	slots    chan struct{}
	kept     *lru.Cache[rangeKey, []byte]
	unranged *lru.Cache[blobKey, struct{}]
}

// blobKey names a blob of a repository, and rangeKey the range with a number, from 0 on, of it.
type blobKey struct {
	repo   name.Repository
	digest digest.Digest
}

type rangeKey struct {
	blobKey
	number int64
}

func newRanges(work *background.Group, source BlobSource) *ranges {
	kept, _ := lru.New[rangeKey, []byte](maxRanges) // fails for no size but 0
	unranged, _ := lru.New[blobKey, struct{}](maxUnranged)
	return &ranges{
		source: source, running: background.NewShared[[]byte](work, "blob range"), slots: make(chan struct{}, rangesAtOnce),
		kept: kept, unranged: unranged,
	}
}

// get returns the bytes of a blob of a size from an offset on, up to the range's end. They must not be changed.
func (r *ranges) get(ctx context.Context, repo name.Repository, d digest.Digest, size, offset int64) ([]byte, error) {
	key := rangeKey{blobKey{repo, d}, offset / rangeSize}
	start := key.number * rangeSize
	if b, ok := r.kept.Get(key); ok {
		return b[offset-start:], nil
	}
	if r.unranged.Contains(key.blobKey) {
		return nil, errUnranged
	}
	b, err := r.running.Do(ctx, fmt.Sprint(repo, " ", d, " ", key.number), func(ctx context.Context) ([]byte, error) {
		return r.load(ctx, key, min(rangeSize, size-start))
	})
	if err != nil {
		return nil, err
	}
	return b[offset-start:], nil
}

// load fetches a range.
func (r *ranges) load(ctx context.Context, key rangeKey, length int64) ([]byte, error) {
	if b, ok := r.kept.Get(key); ok {
		return b, nil
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	body, err := r.source.BlobRange(ctx, key.repo, key.digest, key.number*rangeSize, length)
	if errors.Is(err, upstream.ErrRangeIgnored) || errors.Is(err, upstream.ErrRangeNotSatisfiable) {
		r.unranged.Add(key.blobKey, struct{}{})
		return nil, errUnranged
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, length)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, fmt.Errorf("range of %s: %w", key.digest, err)
	}
	r.kept.Add(key, b)
	return b, nil
}
