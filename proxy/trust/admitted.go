package trust

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxAdmitted bounds the content that is remembered, to some tens of megabytes.
const maxAdmitted = 1 << 18

// AdmittedOptions are what Admitted is made of; all are needed.
type AdmittedOptions struct {
	Records *catalog.Table[catalog.ContentKey, catalog.Admitted]
	// Guard has the verdicts, and Served what was made of an image, by lineage and source.
	Guard     *Guard
	Served    *catalog.Table[string, rechunk.Version]
	Documents *Documents
	Chunks    *chunkstore.Store
	Now       func() time.Time
	Logger    *slog.Logger
}

// Admitted knows which content repositories may give that ask for signatures: what a manifest names that they have shown,
// and what was signed here. Images that passed count without having been shown by this version of Strata: stores of before
// have no records of what was. It is safe for concurrent use.
type Admitted struct {
	AdmittedOptions
	known *lru.Cache[admission, struct{}]
	lost  atomic.Int64 // what had to make room

	mu     sync.Mutex
	loaded *lru.Cache[string, *admittedOf]
}

// admission is a hash of repository, policy and digest.
type admission [16]byte

// admittedOf says which records of a repository were read, as of which change, and when they were last listed.
type admittedOf struct {
	mu     sync.Mutex
	began  time.Time
	lost   int64
	policy string
	read   map[catalog.ContentKey]time.Time // of Admitted
	passed map[catalog.ContentKey]time.Time // verdicts
}

// unread reports whether a record is new or has changed since it was noted as read.
func unread(read map[catalog.ContentKey]time.Time, k catalog.ContentKey, modified time.Time) bool {
	at, ok := read[k]
	return !ok || !at.Equal(modified)
}

// NewAdmitted returns what some records say.
func NewAdmitted(o AdmittedOptions) *Admitted {
	a := &Admitted{AdmittedOptions: o}
	a.loaded, _ = lru.New[string, *admittedOf](maxLoaded) // fails for sizes below 1 only
	a.known, _ = lru.NewWithEvict(maxAdmitted, func(admission, struct{}) { a.lost.Add(1) })
	return a
}

func admissionOf(repository, policy string, d digest.Digest) (k admission) {
	sum := sha256.Sum256([]byte(repository + " " + policy + " " + string(d)))
	copy(k[:], sum[:])
	return k
}

// Note remembers that a manifest was shown that passed by a policy.
func (a *Admitted) Note(ctx context.Context, repo name.Repository, policy string, m *registry.Manifest) {
	if a.known.Contains(admissionOf(repo.String(), policy, m.Digest)) {
		return
	}
	key := catalog.ContentKey{Repository: repo.String(), Digest: m.Digest}
	rec, err := a.Records.Get(ctx, key)
	if err == nil && (rec == nil || rec.Policy != policy) {
		err = a.Records.Put(ctx, key, &catalog.Admitted{Policy: policy, At: a.Now().UTC()})
	}
	if err != nil {
		// Whoever asks this process next is answered from memory.
		a.Logger.WarnContext(ctx, "that an image is shown could not be noted", "repository", repo.String(), "digest",
			m.Digest.String(), "error", err)
	}
	a.remember(repo.String(), policy, m.Digest, m.Bytes)
}

// remember adds a manifest and what it names. The manifest comes last: where it is known, all of it is.
func (a *Admitted) remember(repository, policy string, d digest.Digest, manifest []byte) {
	if doc, err := image.ReadManifest(manifest); err == nil {
		a.known.Add(admissionOf(repository, policy, doc.Config.Digest), struct{}{})
		for _, l := range doc.Layers {
			a.known.Add(admissionOf(repository, policy, l.Digest), struct{}{})
		}
	}
	a.known.Add(admissionOf(repository, policy, d), struct{}{})
}

// Has reports whether a manifest that a repository has shown names content, or was asked for itself.
func (a *Admitted) Has(ctx context.Context, repo name.Repository, policy string, d digest.Digest) bool {
	key := admissionOf(repo.String(), policy, d)
	if _, ok := a.known.Get(key); ok {
		return true
	}
	if p, ok := a.Documents.find(ctx, repo, d); ok && p.ours {
		return true
	}
	a.load(ctx, repo.String(), policy)
	return a.known.Contains(key)
}

// load reads the records of a repository that are new or have changed: another process may have shown their images. One
// listing is enough for all who ask before it begins.
func (a *Admitted) load(ctx context.Context, repository, policy string) {
	asked := time.Now()
	a.mu.Lock()
	l, ok := a.loaded.Get(repository)
	if !ok {
		l = &admittedOf{}
		a.loaded.Add(repository, l)
	}
	a.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.After(asked) {
		return
	}
	if wait := loadEvery - time.Since(l.began); wait > 0 && !l.began.IsZero() {
		select {
		case <-time.After(min(wait, loadEvery)):
		case <-ctx.Done():
			return
		}
	}
	l.began = time.Now()
	if lost := a.lost.Load(); l.read == nil || lost != l.lost || policy != l.policy {
		l.read, l.passed = map[catalog.ContentKey]time.Time{}, map[catalog.ContentKey]time.Time{}
		l.lost, l.policy = lost, policy
	}
	if err := errors.Join(a.loadShown(ctx, repository, l), a.loadPassed(ctx, repository, l)); err != nil {
		a.Logger.WarnContext(ctx, "what may be given could not be read", "repository", repository, "error", err)
	}
}

// loadShown reads what was shown.
func (a *Admitted) loadShown(ctx context.Context, repository string, l *admittedOf) error {
	return a.Records.List(ctx, catalog.ContentOf(repository), func(k catalog.ContentKey, modified time.Time) error {
		if !unread(l.read, k, modified) {
			return ctx.Err()
		}
		rec, err := a.Records.Get(ctx, k)
		if rec == nil || err != nil {
			return err
		}
		if a.rememberStored(ctx, repository, rec.Policy, k.Digest) {
			l.read[k] = modified
		}
		return ctx.Err()
	})
}

// rememberStored adds a manifest that is stored; one that is not names nothing.
func (a *Admitted) rememberStored(ctx context.Context, repository, policy string, d digest.Digest) bool {
	b, err := a.Chunks.Get(ctx, d, image.MaxDocument)
	if err != nil {
		return false
	}
	a.remember(repository, policy, d, b)
	return true
}

// loadPassed reads which images have passed, and what was made of them.
func (a *Admitted) loadPassed(ctx context.Context, repository string, l *admittedOf) error {
	verdicts, lineage := a.Guard.Verdicts, a.Guard.Rule(repository).Family
	return verdicts.List(ctx, catalog.ContentOf(repository), func(k catalog.ContentKey, modified time.Time) error {
		if !unread(l.passed, k, modified) {
			return ctx.Err()
		}
		rec, err := verdicts.Get(ctx, k)
		if rec == nil || err != nil {
			return err
		}
		l.passed[k] = modified
		if !a.Guard.passes(repository, rec, l.policy) {
			return ctx.Err()
		}
		a.rememberStored(ctx, repository, l.policy, k.Digest)
		made := catalog.PrefixOf(lineage + " " + k.Digest.String() + " ")
		return a.Served.Each(ctx, made, func(_ string, v *rechunk.Version) error {
			for _, t := range catalog.VersionLeads(v) {
				a.known.Add(admissionOf(repository, l.policy, t.Digest), struct{}{})
			}
			return ctx.Err()
		})
	})
}
