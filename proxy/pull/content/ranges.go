package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

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
	// maxUnranged bounds the blobs that are remembered for being given whole only, and maxCounted those whose ranges are
	// counted.
	maxUnranged = 1024
	maxCounted  = 4096
)

// errUnranged says that the upstream gives no ranges of a blob.
var errUnranged = errors.New("the upstream gives no ranges of this blob")

// ranges are pieces of blobs that are far ahead of the downloads under way, or of which there is none: what clients ask for
// that read a blob's end first, or that lack little of it. Each is fetched once however many want it from a repository, all
// of it before anybody reads, so that no client's pace holds an upstream's connection. They are not verified, so none is
// kept for another repository, and nothing of them is stored. They are safe for concurrent use.
type ranges struct {
	source   BlobSource
	running  *background.Shared[[]byte]
	slots    chan struct{}
	kept     *lru.Cache[rangeKey, []byte]
	unranged *lru.Cache[blobKey, struct{}]
	counted  *lru.Cache[blobKey, *rangesOf]
}

// rangesOf is what is known of a blob that is fetched by ranges: its size, and how many bytes they had so far.
type rangesOf struct {
	size    int64
	fetched atomic.Int64
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
	counted, _ := lru.New[blobKey, *rangesOf](maxCounted)
	return &ranges{
		source: source, running: background.NewShared[[]byte](work, "blob range"), slots: make(chan struct{}, rangesAtOnce),
		kept: kept, unranged: unranged, counted: counted,
	}
}

// size returns a blob's size in bytes, for which it asks once.
func (r *ranges) size(key blobKey, ask func() (int64, error)) (int64, error) {
	if known, ok := r.counted.Get(key); ok {
		return known.size, nil
	}
	n, err := ask()
	if err == nil {
		r.counted.ContainsOrAdd(key, &rangesOf{size: n})
	}
	return n, err
}

// pay reports whether so many more bytes of a blob had better be fetched by ranges: while all of them are at most half of
// it. So a blob that is wanted again and again costs its upstream one and a half times its size at most.
func (r *ranges) pay(key blobKey, size, more int64) bool {
	if r.unranged.Contains(key) {
		return false
	}
	known, ok := r.counted.Get(key)
	return ok && known.fetched.Load()+more <= size/2
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
	if known, ok := r.counted.Get(key.blobKey); ok {
		known.fetched.Add(length)
	}
	r.kept.Add(key, b)
	return b, nil
}
