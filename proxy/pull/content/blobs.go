package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upstream"
)

// maxBlob bounds one blob, in bytes.
const maxBlob = 64 << 30

// passedFor is for how long a blob that is not kept is there for the next who wants it, or for the rest of it.
const passedFor = time.Minute

// BlobOptions are what Blobs are made of; all are needed but for Space and Transient.
type BlobOptions struct {
	Common
	Upstream BlobSource
	// WorkDir holds the downloads on their way, and Space bounds them; nil means no bound.
	WorkDir string
	Space   flight.Space
	// Transient reports whether a blob is passed on without being kept, but for a while in WorkDir; nil: none is.
	Transient func(ctx context.Context, repo name.Repository, d digest.Digest) bool
}

// Blobs are layers and configs by digest. They are safe for concurrent use.
type Blobs struct {
	BlobOptions
	flights *flight.Group
	passing *flight.Group // of what is not kept
	stats   *background.Shared[int64]
	ranges  *ranges
	checked checked
	made    madeBlobs
}

// NewBlobs returns the blobs of a store and its upstreams. Close ends their downloads.
func NewBlobs(o BlobOptions) *Blobs {
	return &Blobs{
		BlobOptions: o,
		passing: flight.New(flight.Options{
			WorkDir: o.WorkDir, MaxBytes: maxBlob, Space: o.Space, Logger: o.Logger, Linger: passedFor,
		}),
		flights: flight.New(flight.Options{
			WorkDir: o.WorkDir, Sink: state.NewSink(o.Chunks), MaxBytes: maxBlob, Space: o.Space, Logger: o.Logger,
		}),
		stats: background.NewShared[int64](o.Work, "blob size"), ranges: newRanges(o.Work, o.Upstream),
		checked: newChecked(), made: newMadeBlobs(),
	}
}

// Close cancels the downloads and waits for their end, or that of ctx.
func (b *Blobs) Close(ctx context.Context) error {
	return errors.Join(b.flights.Close(ctx), b.passing.Close(ctx))
}

// Stat returns a blob's size in bytes. A blob that is not stored is asked for by HEAD, never downloaded; one that is on
// its way is not asked for again.
func (b *Blobs) Stat(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	if b.Proofs.Has(ctx, repo, d) {
		if n, err := b.size(ctx, repo, d); !errors.Is(err, chunkstore.ErrNotFound) {
			return n, err
		}
	}
	if blob, err := b.signed(ctx, repo, d); err != nil {
		return 0, err
	} else if blob != nil {
		return blob.Size(), blob.Close()
	}
	for _, g := range []*flight.Group{b.flights, b.passing} {
		if n, ok := g.Size(downloadKey(repo, d)); ok {
			return n, nil
		}
	}
	n, err := b.stats.Do(ctx, repo.String()+"@"+d.String(), func(ctx context.Context) (int64, error) {
		return b.Upstream.StatBlob(ctx, repo, d)
	})
	return n, b.missed(repo, err)
}

// Open opens a blob: from the store, or by the one download that all who want it of the repository share. Who wants no more
// than asked bytes of it, in one place or several, may get them without a download; 0 stands for all. ctx lasts until its
// Close.
func (b *Blobs) Open(ctx context.Context, repo name.Repository, d digest.Digest, asked int64) (registry.Blob, error) {
	if b.Proofs.Has(ctx, repo, d) {
		c, err := b.Chunks.Open(ctx, d)
		if err == nil && c.Size() == 0 {
			if _, err = b.size(ctx, repo, d); err != nil {
				_ = c.Close() // nothing was read of it
			}
		}
		if err == nil {
			return b.stored(ctx, repo, d, c), nil
		}
		if !errors.Is(err, chunkstore.ErrNotFound) {
			return nil, err
		}
	}
	if blob, err := b.signed(ctx, repo, d); blob != nil || err != nil {
		return blob, err
	}
	if asked > 0 {
		if blob, err := b.parted(ctx, repo, d, asked); blob != nil || err != nil {
			return blob, err
		}
	}
	blob, err := b.download(ctx, repo, d, -1)
	return blob, b.missed(repo, err)
}

// signed opens a blob of a signature that was made here or checked, or returns nil.
func (b *Blobs) signed(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	if b.Signed == nil {
		return nil, nil
	}
	return b.Signed.Blob(ctx, repo, d)
}

// Keep sees that a blob is stored. size is what a manifest says, -1 when unknown.
func (b *Blobs) Keep(ctx context.Context, repo name.Repository, d digest.Digest, size int64) error {
	if b.Stored(ctx, repo, d) {
		return nil
	}
	return b.flights.Wait(ctx, downloadKey(repo, d), b.fetch(repo, d, size, b.begin))
}

// URL returns a signed URL of the storage backend, for a blob that is stored. When anything stands in the way, it is
// empty, and the client gets the blob here.
func (b *Blobs) URL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin) {
	if !b.Stored(r.Context(), repo, d) {
		return "", ""
	}
	url, err := b.Chunks.RedirectURL(r, d)
	if err != nil {
		b.Logger.WarnContext(r.Context(), "blob could not be redirected and is served", "repository", repo.String(),
			"digest", d.String(), "error", err)
		return "", ""
	}
	return url, b.made.origin(d)
}

// Stored reports whether a blob is stored that the repository was proven to have.
func (b *Blobs) Stored(ctx context.Context, repo name.Repository, d digest.Digest) bool {
	if !b.Proofs.Has(ctx, repo, d) {
		return false
	}
	_, err := b.size(ctx, repo, d)
	return err == nil
}

// size returns the length of a stored blob in bytes. One that is empty, as a power cut leaves files, and should not be is
// put aside: nobody reads of it, and so nobody would see.
func (b *Blobs) size(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	n, err := b.Chunks.Stat(ctx, d)
	if err != nil || n > 0 || d == d.Algorithm().FromString("") {
		return n, err
	}
	if err := b.State.Quarantine(context.WithoutCancel(ctx), d, chunkstore.ErrCorrupt); err != nil {
		return 0, err
	}
	b.Losses.Note(repo)
	return 0, fmt.Errorf("blob %s is stored as nothing: %w", d, chunkstore.ErrNotFound)
}

// missed notes an answer of the upstream that it does not have a blob.
func (b *Blobs) missed(repo name.Repository, err error) error {
	if upstream.Is(err, upstream.NotFound) {
		b.Losses.Note(repo)
	}
	return err
}

// download opens a blob while it is being fetched. size is what a manifest says, -1 when unknown.
func (b *Blobs) download(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (registry.Blob, error) {
	group, begin := b.flights, b.begin
	if b.Transient != nil && b.Transient(ctx, repo, d) {
		group, begin = b.passing, b.open
	}
	r, err := group.Open(ctx, downloadKey(repo, d), b.fetch(repo, d, size, begin))
	if errors.Is(err, flight.ErrStored) {
		c, err := b.Chunks.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		return b.stored(ctx, repo, d, c), nil
	}
	pass := func(size int64) (*passedBlob, error) {
		return passOn(d, size, func(size int64) (io.ReadCloser, int64, error) { return b.open(ctx, repo, d, size) })
	}
	if errors.Is(err, flight.ErrNoSpace) {
		b.Logger.DebugContext(ctx, "blob is passed on without being kept", "digest", d.String(), "error", err)
		return pass(size)
	}
	if err != nil {
		return nil, err
	}
	n, err := r.Size()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &arrivingBlob{
		Reader: r, size: n, pass: func() (*passedBlob, error) { return pass(n) },
		fetchRange: func(off int64) ([]byte, error) { return b.ranges.get(ctx, repo, d, n, off) },
	}, nil
}

// downloadKey keeps the downloads of repositories apart: joining another's would be a way around the rules of access.
func downloadKey(repo name.Repository, d digest.Digest) flight.Key {
	return flight.Key{Scope: repo.String(), Digest: d}
}

// opens opens a blob at its source.
type opens func(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error)

// fetch gets a blob from the upstream. A panic there costs this download alone.
func (b *Blobs) fetch(repo name.Repository, d digest.Digest, size int64, open opens) flight.Fetch {
	return func(ctx context.Context) (body io.ReadCloser, n int64, err error) {
		catch := func(work func() error) error { return b.Work.Catch(ctx, "download", work) }
		err = catch(func() (err error) {
			body, n, err = open(ctx, repo, d, size)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		return caughtBody{body, catch}, n, nil
	}
}

// begin opens a download, unless another has brought the blob.
func (b *Blobs) begin(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error) {
	// Another download may have ended since the caller looked.
	if b.Stored(ctx, repo, d) {
		return nil, 0, flight.ErrStored
	}
	done, ok := b.Work.Begin()
	if !ok {
		return nil, 0, background.ErrClosed
	}
	release, finished := b.Leases.Turn(ctx, "blob "+downloadKey(repo, d).String(), leaseTTL, blobPatience,
		func(ctx context.Context) bool {
			return b.Stored(ctx, repo, d)
		})
	// The lease ends when the download has, and the store has the blob.
	context.AfterFunc(ctx, func() {
		defer done()
		release()
	})
	if finished {
		return nil, 0, flight.ErrStored
	}
	return b.open(ctx, repo, d, size)
}

// open opens a blob at the upstream; its end is a proof.
func (b *Blobs) open(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error) {
	body, n, err := b.Upstream.Blob(ctx, repo, d, size)
	if err != nil {
		return nil, 0, err
	}
	return provingBody{body, func() { b.Proofs.Came(ctx, repo, d) }}, n, nil
}

// provingBody tells when a body that verifies itself was read to its end.
type provingBody struct {
	io.ReadCloser
	came func()
}

// Read implements io.Reader.
func (b provingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.came()
	}
	return n, err
}

// caughtBody makes an error of a panic while it is read.
type caughtBody struct {
	io.ReadCloser
	catch func(func() error) error
}

// Read implements io.Reader.
func (b caughtBody) Read(p []byte) (n int, err error) {
	err = b.catch(func() (err error) {
		n, err = b.ReadCloser.Read(p)
		return err
	})
	return n, err
}
