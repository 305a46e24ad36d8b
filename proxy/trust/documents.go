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
	// Enabled reports whether images are signed: if not, nothing is looked for.
	Enabled func() bool
	Chunks  *chunkstore.Store
	Records *catalog.Table[catalog.ContentKey, catalog.Signature]
	Now     func() time.Time
	Logger  *slog.Logger
}

// Documents are what was signed here, by digest. Those of one image lie in one pack, and its record says where. The record
// is of a repository, and was written for an image that this was proven to have, so no other repository is answered from it.
// They are safe for concurrent use.
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
}

// loaded says which records of a repository were read, as of which change, and when they were last listed.
type loaded struct {
	mu   sync.Mutex
	at   time.Time
	read map[digest.Digest]time.Time
}

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
		s.known.Add(catalog.ContentKey{Repository: repository, Digest: p.Digest}, place{rec.Pack, p, manifests[p.Digest]})
	}
}

// keep stores what was signed: pack and record at once, since each has to wait for the disk. A record without its pack, as a
// crash may leave it, is made again by who needs it.
func (s *Documents) keep(ctx context.Context, key catalog.ContentKey, rec *catalog.Signature, signed sign.Documents) error {
	pack, places := packed(signed.All())
	rec.Pack, rec.Documents = digest.FromBytes(pack), places
	var both errgroup.Group
	both.Go(func() error {
		_, err := s.Chunks.Put(ctx, pack)
		return err
	})
	both.Go(func() error { return s.Records.Put(ctx, key, rec) })
	if err := both.Wait(); err != nil {
		return fmt.Errorf("storing the signature: %w", err)
	}
	return nil
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

// lately reports whether it is known where a document lies without a look at records.
func (s *Documents) lately(repo name.Repository, d digest.Digest) bool {
	return s.known.Contains(catalog.ContentKey{Repository: repo.String(), Digest: d})
}

// find returns where a document lies.
func (s *Documents) find(ctx context.Context, repo name.Repository, d digest.Digest) (place, bool) {
	key := catalog.ContentKey{Repository: repo.String(), Digest: d}
	p, ok := s.known.Get(key)
	if !ok && s.Enabled() {
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
		l = &loaded{read: map[digest.Digest]time.Time{}}
		s.loaded.Add(repository, l)
	}
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := s.Now().Sub(l.at); !l.at.IsZero() && age >= 0 && age < loadEvery {
		return
	}
	err := s.Records.List(ctx, catalog.ContentOf(repository), func(k catalog.ContentKey, modified time.Time) error {
		if at, ok := l.read[k.Digest]; ok && at.Equal(modified) {
			return nil
		}
		rec, err := s.Records.Get(ctx, k)
		if err != nil {
			return err
		}
		if rec != nil {
			s.note(repository, rec)
		}
		l.read[k.Digest] = modified
		return ctx.Err()
	})
	if err != nil {
		s.Logger.WarnContext(ctx, "records of signatures could not be read", "repository", repository, "error", err)
		return
	}
	l.at = s.Now()
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

// Manifest returns a signature image or a bundle's manifest, or nil.
func (s *Documents) Manifest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	p, ok := s.find(ctx, repo, d)
	if !ok || !p.manifest {
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
