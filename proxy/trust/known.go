package trust

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore/keylock"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// keepPatience is how long an image that passed waits for the rest of its signatures to be kept.
const keepPatience = 10 * time.Second

// KnownOptions are what Known is made of; all are needed.
type KnownOptions struct {
	Records *catalog.Table[catalog.ContentKey, catalog.Evidence]
	// Tags are what clients pulled and files brought.
	Tags      *catalog.Table[catalog.TagKey, catalog.Tag]
	Manifests Stored
	Documents *Documents
	Logger    *slog.Logger
	Now       func() time.Time
}

// Known is what is known of what upstreams have about images: signatures, attestations, lists of contents, and what refers
// to them. It answers while an upstream does not, and tells what there is none of from what nobody knows: the one is no
// failure, and clients go on; the other is for them to ask again. It is safe for concurrent use.
type Known struct {
	KnownOptions
	locks keylock.Locks // held while a record changes
}

// NewKnown returns what some records say.
func NewKnown(o KnownOptions) *Known { return &Known{KnownOptions: o} }

// Tag returns the manifest that a tag about an image led to when its upstream was last asked. known says that it was: then
// nil says that there was none.
func (k *Known) Tag(ctx context.Context, repo name.Repository, tag name.Reference) (m *registry.Manifest, known bool) {
	d, kind, ok := tag.About()
	if !ok {
		return nil, false
	}
	if m := k.pulled(ctx, repo, tag); m != nil {
		return m, true
	}
	rec := k.record(ctx, repo, d)
	switch {
	case rec == nil:
		return nil, false
	case slices.Contains(rec.Absent, kind):
		return nil, true
	case kind == ".sig" && rec.Image != "":
		m, err := k.Documents.Kept(ctx, repo, rec.Image)
		return m, m != nil && err == nil
	case kind == "" && rec.Referrers != "":
		list := k.document(ctx, repo, rec.Referrers)
		if list == nil {
			return nil, false
		}
		return &registry.Manifest{
			MediaType: ocispec.MediaTypeImageIndex, Digest: rec.Referrers, Bytes: list, Source: rec.Referrers,
			Served: registry.Original, Origin: registry.FromStore,
		}, true
	}
	return nil, false
}

// pulled returns what a tag led to that a client pulled, or that came by a file.
func (k *Known) pulled(ctx context.Context, repo name.Repository, tag name.Reference) *registry.Manifest {
	rec, err := k.Tags.Get(ctx, catalog.TagKey{Repository: repo.String(), Tag: string(tag)})
	if rec == nil || err != nil {
		return nil
	}
	m, err := k.Manifests.Stored(ctx, repo, rec.SourceDigest)
	if err != nil {
		return nil
	}
	return m
}

// Referrers returns the list of what refers to an image as it was when the upstream was last asked; known is false where
// nobody has asked, or the list is lost.
func (k *Known) Referrers(ctx context.Context, repo name.Repository, d digest.Digest) (list []byte, known bool) {
	m, known := k.Tag(ctx, repo, name.TagAbout(d, ""))
	switch {
	case known && m == nil:
		return []byte(nothingRefers), true
	case known && image.IsIndex(m.MediaType):
		return m.Bytes, true
	}
	return nil, false
}

// nothingRefers is an empty list.
const nothingRefers = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`

// document returns a document that is kept, or nil.
func (k *Known) document(ctx context.Context, repo name.Repository, d digest.Digest) []byte {
	p, ok := k.Documents.find(ctx, repo, d)
	if !ok {
		return nil
	}
	b, err := k.Documents.read(ctx, p)
	if err != nil {
		return nil
	}
	return b
}

func (k *Known) record(ctx context.Context, repo name.Repository, d digest.Digest) *catalog.Evidence {
	rec, err := k.Records.Get(ctx, catalog.ContentKey{Repository: repo.String(), Digest: d})
	if err != nil {
		k.Logger.WarnContext(ctx, "what is known about an image could not be read", "repository", repo.String(), "digest",
			d.String(), "error", err)
		return nil
	}
	if rec != nil {
		k.Documents.noteEvidence(repo.String(), rec)
	}
	return rec
}

// NoteAbsent remembers that an upstream has nothing under a tag about an image. Only images that are stored count: their
// digests are not made up by who asks.
func (k *Known) NoteAbsent(ctx context.Context, repo name.Repository, tag name.Reference) {
	d, kind, ok := tag.About()
	if !ok {
		return
	}
	if rec := k.record(ctx, repo, d); rec != nil && slices.Contains(rec.Absent, kind) {
		return
	}
	if m, err := k.Manifests.Stored(ctx, repo, d); m == nil || err != nil {
		return
	}
	k.change(ctx, repo, d, nil, func(rec *catalog.Evidence) {
		rec.Absent = append(rec.Absent, kind)
		if kind == ".sig" {
			rec.Image = ""
		} else if kind == "" {
			rec.Referrers, rec.Bundles = "", nil
		}
	})
}

// keep keeps what a check saw about an image that passed.
func (k *Known) keep(ctx context.Context, seen *witness, d digest.Digest) {
	limited, stop := context.WithTimeout(ctx, keepPatience)
	defer stop()
	found, documents := seen.about(limited, d)
	pack, places := packed(documents)
	k.change(ctx, seen.repo, d, pack, func(rec *catalog.Evidence) {
		asked := func(kind string) bool {
			return slices.Contains(found.Absent, kind) || kind == ".sig" && found.Image != "" ||
				kind == "" && found.Referrers != ""
		}
		if found.Image != "" && found.Image == rec.Image && !asked("") {
			return // what is kept has this, and may have more
		}
		rec.Absent = append(slices.DeleteFunc(rec.Absent, asked), found.Absent...)
		rec.Image, rec.Referrers, rec.Bundles = found.Image, found.Referrers, found.Bundles
		rec.Pack, rec.Documents = "", nil
		if len(places) > 0 {
			rec.Pack, rec.Documents = digest.FromBytes(pack), places
		}
	})
}

// change changes a record, and stores the pack that it names with it. What cannot be written is asked for again.
func (k *Known) change(ctx context.Context, repo name.Repository, d digest.Digest, pack []byte,
	change func(rec *catalog.Evidence)) {
	key := catalog.ContentKey{Repository: repo.String(), Digest: d}
	defer k.locks.Lock(key.String())()
	rec, err := k.Records.Get(ctx, key)
	if rec == nil {
		rec = &catalog.Evidence{}
	}
	now := *rec
	now.Absent = slices.Clone(rec.Absent)
	change(&now)
	slices.Sort(now.Absent)
	if err == nil && !sameEvidence(rec, &now) {
		now.At = k.Now().UTC()
		record := func() error { return k.Records.Put(ctx, key, &now) }
		if len(pack) > 0 {
			err = k.Documents.put(ctx, pack, record)
		} else {
			err = record()
		}
	}
	if err != nil && ctx.Err() == nil {
		k.Logger.WarnContext(ctx, "signatures that were checked could not be kept", "repository", repo.String(), "digest",
			d.String(), "error", err)
		return
	}
	k.Documents.noteEvidence(key.Repository, &now)
}

func sameEvidence(a, b *catalog.Evidence) bool {
	return a.Image == b.Image && a.Referrers == b.Referrers && a.Pack == b.Pack && slices.Equal(a.Absent, b.Absent) &&
		slices.Equal(a.Bundles, b.Bundles) && !a.At.IsZero()
}
