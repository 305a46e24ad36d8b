package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/sign"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	maxKnown  = 1 << 16 // documents whose place is remembered, some tens of megabytes at most
	maxLoaded = 4096    // repositories whose records were looked through
	// loadEvery is how often the records of a repository are looked through again, for what other replicas signed.
	loadEvery = time.Second / 4
)

// DocumentOptions are what Documents are made of; all are needed.
type DocumentOptions struct {
	// Enabled reports whether images of a repository, "host/path", are signed or checked: if not, nothing is looked for.
	Enabled func(repository string) bool
	Chunks  *chunkstore.Store
	// Records say what was signed here, Evidence what an upstream had.
	Records  *catalog.Table[catalog.ContentKey, catalog.Signature]
	Evidence *catalog.Table[catalog.ContentKey, catalog.Evidence]
	Now      func() time.Time
	Logger   *slog.Logger
}

// Documents are what was signed, here or at an upstream, by digest. Those of one image lie in one pack, and its record says
// where. The record is of a repository, and was written for an image that this was proven to have, so no other repository is
// answered from it. They are safe for concurrent use.
type Documents struct {
	DocumentOptions
	known *lru.Cache[catalog.ContentKey, place]

	mu     sync.Mutex
	loaded *lru.Cache[string, *loaded]
}

// place is where a document lies.
type place struct {
	pack     digest.Digest
	in       catalog.Packed
	manifest bool
	ours     bool // signed here
}

// loaded says which records of a repository were read, as of which change, and when they were last listed.
type loaded struct {
	mu   sync.Mutex
	at   time.Time
	read map[recordOf]time.Time
}

// recordOf is a record about an image.
type recordOf struct {
	kind byte
	of   digest.Digest
}

// The kinds.
const (
	signedHere byte = iota
	evidence
)

// NewDocuments returns the documents of some records.
func NewDocuments(o DocumentOptions) *Documents {
	d := &Documents{DocumentOptions: o}
	d.loaded, _ = lru.New[string, *loaded](maxLoaded) // fails for sizes below 1 only
	d.known, _ = lru.NewWithEvict(maxKnown, func(k catalog.ContentKey, _ place) {
		d.loaded.Remove(k.Repository) // so that its records are read again when somebody asks
	})
	return d
}

// note remembers where a record's documents lie.
func (s *Documents) note(repository string, rec *catalog.Signature) {
	manifests := map[digest.Digest]bool{rec.Image: true}
	for _, r := range rec.Referrers {
		manifests[r.Digest] = true
	}
	for _, p := range rec.Documents {
		key := catalog.ContentKey{Repository: repository, Digest: p.Digest}
		s.known.Add(key, place{rec.Pack, p, manifests[p.Digest], true})
	}
}

// noteEvidence is note for what an upstream had. What was signed here is found where it was signed.
func (s *Documents) noteEvidence(repository string, rec *catalog.Evidence) {
	manifests := map[digest.Digest]bool{rec.Image: true}
	for _, d := range rec.Bundles {
		manifests[d] = true
	}
	for _, p := range rec.Documents {
		key := catalog.ContentKey{Repository: repository, Digest: p.Digest}
		if have, ok := s.known.Peek(key); !ok || !have.ours {
			s.known.Add(key, place{rec.Pack, p, manifests[p.Digest], false})
		}
	}
}

// keep stores what was signed.
func (s *Documents) keep(ctx context.Context, key catalog.ContentKey, rec *catalog.Signature, signed sign.Documents) error {
	pack, places := packed(signed.All())
	rec.Pack, rec.Documents = digest.FromBytes(pack), places
	if err := s.put(ctx, pack, func() error { return s.Records.Put(ctx, key, rec) }); err != nil {
		return fmt.Errorf("storing the signature: %w", err)
	}
	return nil
}

// put stores a pack and its record at once, since each has to wait for the disk. A record without its pack, as a crash may
// leave it, counts for nothing.
func (s *Documents) put(ctx context.Context, pack []byte, record func() error) error {
	var both errgroup.Group
	both.Go(func() error {
		_, err := s.Chunks.Put(ctx, pack)
		return err
	})
	both.Go(record)
	return both.Wait()
}

// whole reports whether a record's pack is stored. It asks the store once for each record and process.
func (s *Documents) whole(ctx context.Context, repo name.Repository, rec *catalog.Signature) (bool, error) {
	if s.lately(repo, rec.Image) {
		return true, nil
	}
	_, err := s.Chunks.Stat(ctx, rec.Pack)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// packed makes one document of several, each behind the one before, and says where they lie: to store many takes as many
// waits for a disk.
func packed(documents []image.Document) (pack []byte, places []catalog.Packed) {
	for _, doc := range documents {
		places = append(places, catalog.Packed{Digest: doc.Digest, Offset: int64(len(pack)), Size: int64(len(doc.Bytes))})
		pack = append(pack, doc.Bytes...)
	}
	return pack, places
}

// lately reports whether it is known where a document lies that was signed here, without a look at records.
func (s *Documents) lately(repo name.Repository, d digest.Digest) bool {
	p, ok := s.known.Get(catalog.ContentKey{Repository: repo.String(), Digest: d})
	return ok && p.ours
}

// find returns where a document lies.
func (s *Documents) find(ctx context.Context, repo name.Repository, d digest.Digest) (place, bool) {
	key := catalog.ContentKey{Repository: repo.String(), Digest: d}
	p, ok := s.known.Get(key)
	if !ok && s.Enabled(repo.String()) {
		s.load(ctx, repo.String())
		p, ok = s.known.Get(key)
	}
	return p, ok
}

// load reads the records of a repository that are new or have changed.
func (s *Documents) load(ctx context.Context, repository string) {
	s.mu.Lock()
	l, ok := s.loaded.Get(repository)
	if !ok {
		l = &loaded{read: map[recordOf]time.Time{}}
		s.loaded.Add(repository, l)
	}
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := s.Now().Sub(l.at); !l.at.IsZero() && age >= 0 && age < loadEvery {
		return
	}
	err := errors.Join(loadNew(ctx, s.Records, repository, signedHere, l, s.note),
		loadNew(ctx, s.Evidence, repository, evidence, l, s.noteEvidence))
	if err != nil {
		s.Logger.WarnContext(ctx, "records of signatures could not be read", "repository", repository, "error", err)
		return
	}
	l.at = s.Now()
}

// loadNew reads the records of a kind that are new or have changed.
func loadNew[V any](ctx context.Context, from *catalog.Table[catalog.ContentKey, V], repository string, kind byte, l *loaded,
	note func(repository string, rec *V)) error {
	return from.List(ctx, catalog.ContentOf(repository), func(k catalog.ContentKey, modified time.Time) error {
		if at, ok := l.read[recordOf{kind, k.Digest}]; ok && at.Equal(modified) {
			return nil
		}
		rec, err := from.Get(ctx, k)
		if err != nil {
			return err
		}
		if rec != nil {
			note(repository, rec)
		}
		l.read[recordOf{kind, k.Digest}] = modified
		return ctx.Err()
	})
}

// read returns the bytes of a document; nil when the pack is lost or damaged.
func (s *Documents) read(ctx context.Context, p place) ([]byte, error) {
	pack, err := s.Chunks.Get(ctx, p.pack, image.MaxDocument)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt),
		errors.Is(err, chunkstore.ErrTooLarge):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading a signature: %w", err)
	}
	b, err := p.in.In(pack)
	if err != nil {
		return nil, nil //nolint:nilerr // a record that is wrong is made again, as one that is lost
	}
	return b, nil
}

// Manifest returns the manifest of a signature image or a bundle that was signed here, or nil.
func (s *Documents) Manifest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	return s.manifest(ctx, repo, d, true)
}

// Kept is Manifest for what an upstream had.
func (s *Documents) Kept(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	return s.manifest(ctx, repo, d, false)
}

func (s *Documents) manifest(ctx context.Context, repo name.Repository, d digest.Digest, ours bool) (*registry.Manifest,
	error) {
	p, ok := s.find(ctx, repo, d)
	if !ok || !p.manifest || p.ours != ours {
		return nil, nil
	}
	b, err := s.read(ctx, p)
	if b == nil || err != nil {
		return nil, err
	}
	return &registry.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Digest: d, Bytes: b, Source: d, Served: registry.Original,
		Origin: registry.FromStore,
	}, nil
}

// Blob returns a payload, a bundle or a config, or nil. As a blob each manifest is served, too, as it is when stored by
// itself.
func (s *Documents) Blob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	p, ok := s.find(ctx, repo, d)
	if !ok {
		return nil, nil
	}
	b, err := s.read(ctx, p)
	if b == nil || err != nil {
		return nil, err
	}
	return packedBlob{bytes.NewReader(b)}, nil
}

// packedBlob is a blob that lies in a pack.
type packedBlob struct{ *bytes.Reader }

// Size implements registry.Blob.
func (b packedBlob) Size() int64 { return b.Reader.Size() }

// Origin implements registry.Blob.
func (packedBlob) Origin() registry.Origin { return registry.MadeHere }

// Close implements registry.Blob.
func (packedBlob) Close() error { return nil }
