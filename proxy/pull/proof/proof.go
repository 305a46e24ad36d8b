// Package proof knows which content a repository may serve. The store keeps content by digest, so that repositories
// share it; where not everybody may pull from each of them, who knows a digest must not get it under another name.
//
// A repository serves a digest when verified bytes of it came through that repository, or when it is an image that was
// made here of sources that the repository was proven to have. To be named by a manifest, an index or an upstream
// proves nothing.
package proof

import (
	"context"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
)

const (
	maxProven = 1 << 17 // remembered, some tens of megabytes at most
	maxLoaded = 4096    // repositories whose records were looked through
	// loadEvery is how often the records of a repository are looked through again, for what other replicas wrote.
	loadEvery = time.Second
	// writePatience bounds the writing of a record.
	writePatience = 30 * time.Second
)

// Options are what Proofs are made of; all are needed.
type Options struct {
	// Ruled reports whether there are rules of access. While it returns false all content is everybody's, and nothing
	// is noted.
	Ruled func() bool
	// Images are proofs of images with their configs and layers, Single those of one digest.
	Images, Single *catalog.Table[catalog.ContentKey, catalog.Proof]
	// Blobs lists the config and the layers of a stored image, and nothing of an index.
	Blobs  func(ctx context.Context, manifest digest.Digest) []digest.Digest
	Now    func() time.Time
	Logger *slog.Logger
}

// Proofs are what repositories were proven to have. They are safe for concurrent use.
type Proofs struct {
	Options
	known *lru.Cache[catalog.ContentKey, struct{}]

	mu     sync.Mutex
	loaded *lru.Cache[string, *loaded]
}

// loaded says which image proofs of a repository were read, and when they were last listed.
type loaded struct {
	mu   sync.Mutex
	at   time.Time
	read map[digest.Digest]bool
}

// New returns the proofs in some records.
func New(o Options) *Proofs {
	known, _ := lru.New[catalog.ContentKey, struct{}](maxProven) // fails for sizes below 1 only
	repositories, _ := lru.New[string, *loaded](maxLoaded)
	return &Proofs{Options: o, known: known, loaded: repositories}
}

func key(repo name.Repository, d digest.Digest) catalog.ContentKey {
	return catalog.ContentKey{Repository: repo.String(), Digest: d}
}

// On reports whether there are rules of access.
func (p *Proofs) On() bool { return p.Ruled() }

// Has reports whether a repository was proven to have content; without rules, always. A record that cannot be read is none.
func (p *Proofs) Has(ctx context.Context, repo name.Repository, d digest.Digest) bool {
	if !p.On() || p.known.Contains(key(repo, d)) {
		return true
	}
	for _, table := range []*catalog.Table[catalog.ContentKey, catalog.Proof]{p.Single, p.Images} {
		rec, err := table.Get(ctx, key(repo, d))
		if err != nil {
			p.Logger.WarnContext(ctx, "proof could not be read", "repository", repo.String(), "digest", d.String(), "error",
				err)
		}
		if rec != nil {
			p.remember(repo, d)
			return true
		}
	}
	p.load(ctx, repo)
	return p.known.Contains(key(repo, d))
}

// load reads the image proofs of a repository that were not read before.
func (p *Proofs) load(ctx context.Context, repo name.Repository) {
	p.mu.Lock()
	l, ok := p.loaded.Get(repo.String())
	if !ok {
		l = &loaded{read: map[digest.Digest]bool{}}
		p.loaded.Add(repo.String(), l)
	}
	p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := p.Now().Sub(l.at); !l.at.IsZero() && age >= 0 && age < loadEvery {
		return
	}
	err := p.Images.List(ctx, catalog.ContentOf(repo.String()), func(k catalog.ContentKey, _ time.Time) error {
		if !l.read[k.Digest] {
			l.read[k.Digest] = true
			p.remember(repo, append(p.Blobs(ctx, k.Digest), k.Digest)...)
		}
		return ctx.Err()
	})
	if err != nil {
		p.Logger.WarnContext(ctx, "proofs could not be read", "repository", repo.String(), "error", err)
		return
	}
	l.at = p.Now()
}

func (p *Proofs) remember(repo name.Repository, content ...digest.Digest) {
	for _, d := range content {
		p.known.Add(key(repo, d), struct{}{})
	}
}

// Came notes that verified bytes came through a repository. Who is served does not depend on the record: what could not
// be written is remembered here, and the upstream has the bytes.
func (p *Proofs) Came(ctx context.Context, repo name.Repository, d digest.Digest) {
	if !p.On() || p.known.Contains(key(repo, d)) {
		return
	}
	p.remember(repo, d)
	p.write(ctx, p.Single, repo, d, catalog.Proof{})
}

// Image notes that a repository was proven to have an image with all its blobs, in one record. made says that it was
// made here of such.
func (p *Proofs) Image(ctx context.Context, repo name.Repository, manifest digest.Digest, made bool) {
	if !p.On() {
		return
	}
	p.remember(repo, append(p.Blobs(ctx, manifest), manifest)...)
	p.write(ctx, p.Images, repo, manifest, catalog.Proof{Made: made, All: !made})
}

// write stores a proof where there is none.
func (p *Proofs) write(
	ctx context.Context, to *catalog.Table[catalog.ContentKey, catalog.Proof], repo name.Repository, d digest.Digest,
	proof catalog.Proof,
) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer stop()
	rec, err := to.Get(ctx, key(repo, d))
	if rec == nil && err == nil {
		proof.At = p.Now().UTC()
		err = to.Put(ctx, key(repo, d), &proof)
	}
	if err != nil {
		p.Logger.WarnContext(ctx, "proof could not be noted", "repository", repo.String(), "digest", d.String(), "error",
			err)
	}
}
