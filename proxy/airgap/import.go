package airgap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/name"
)

// ImportOptions say where a file goes.
type ImportOptions struct {
	// Chunks is the store, and Records are its records.
	Chunks  *chunkstore.Store
	Records *catalog.Records
	// Gate says what may come in, and writes what tags stand for.
	Gate Gate
	// Names reads the names in the file as the proxy would.
	Names name.Parser
	// Name is the reference to serve an image under that has none in the file.
	Name string
	// Deltas check what images were made of, and make those that the file has deltas of; nil does neither: what the file
	// proves is passed over, and a file with deltas is refused.
	Deltas Deltas
	// TempDir is for a file that is compressed.
	TempDir string
	Now     func() time.Time
	// Progress hears of bytes that are in the store; nil: nobody.
	Progress func(done, total int64)
}

// placed is an entry of the file with its place.
type placed struct {
	doc  *document
	repo name.Repository
	tag  name.Reference // "" without a tag
}

// name is the full name of an entry, or its repository's.
func (p placed) name() string {
	if p.tag == "" {
		return p.repo.String()
	}
	if p.tag.IsDigest() {
		return p.repo.String() + "@" + string(p.tag)
	}
	return catalog.TagKey{Repository: p.repo.String(), Tag: string(p.tag)}.String()
}

// load is one run.
type load struct {
	documents
	ImportOptions
	file    *imageref.Archive
	entries []placed
	aids    []aid
	// given is the image that has the name of ImportOptions; nameless says that the entry that is being read gets it.
	given    *document
	nameless bool
	sources  map[digest.Digest]*document // what images and indexes were proven to be made of
	silent   bool                        // what the file has nothing of may be there
	report   *Report
}

// Import puts all images of a file into a store, from which a proxy serves them as they are. All content is verified.
// Records come after what they lead to, tags last, so that an import that breaks off leaves what was there.
func Import(ctx context.Context, file string, o ImportOptions) (_ *Report, err error) {
	l := &load{ImportOptions: o, report: &Report{Entries: []Entry{}}, sources: map[digest.Digest]*document{}}
	if l.file, err = imageref.OpenArchive(ctx, file, o.TempDir); err != nil {
		return nil, err
	}
	defer func() { err = closing(err, l.file) }()
	for _, step := range []func(context.Context) error{l.read, l.room, l.make, l.fill, l.prove, l.admitted, l.record} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("import %s: %w", file, err)
		}
	}
	return l.report, nil
}

// read finds out what the file holds.
func (l *load) read(ctx context.Context) error {
	list := l.file.Index.Manifests()
	if len(list) == 0 {
		return errors.New("there is no image in it")
	}
	if len(list) > maxDocuments {
		return fmt.Errorf("%w: index.json lists %d manifests, more than %d", ErrTooLarge, len(list), maxDocuments)
	}
	for _, d := range list {
		if helps, err := l.aid(ctx, d); err != nil {
			return err
		} else if helps {
			continue
		}
		repo, tag, err := l.place(d)
		if err != nil {
			return err
		}
		raw, err := l.file.Document(ctx, d)
		if err != nil {
			return err
		}
		m, err := l.tree(ctx, d, raw, l.file.Document, 0)
		if err != nil {
			return err
		}
		if l.nameless {
			l.nameless, l.given = false, m
		}
		if tag.IsDigest() && digest.Digest(tag) != m.Digest {
			return fmt.Errorf("its name says %s, and it is %s", tag, m.Digest)
		}
		l.entries = append(l.entries, placed{m, repo, tag})
		l.silent = l.silent || d.Annotations[imageref.AnnotationRepository] == "" || d.Annotations[AnnotationMissing] != ""
	}
	return l.check()
}

// check holds what was read together.
func (l *load) check() error {
	if len(l.entries) == 0 {
		return errors.New("there is no image in it")
	}
	if l.Name != "" && l.given == nil {
		return fmt.Errorf("its images have names of their own, such as %.300q: --as is for an image without",
			l.entries[0].name())
	}
	for _, a := range l.aids {
		if l.seen[a.of] == nil {
			return fmt.Errorf("it has something about the image %s, and not that image", a.of)
		}
	}
	names := map[string]digest.Digest{}
	for _, e := range l.entries {
		switch other, ok := names[e.name()]; {
		case e.tag == "":
		case ok && other != e.doc.Digest:
			return fmt.Errorf("two images in it have one name, %.300s: %s and %s", e.name(), other, e.doc.Digest)
		default:
			names[e.name()] = e.doc.Digest
		}
		if l.given == e.doc && e.doc.doc.Manifest != nil &&
			!slices.Contains(imageConfigs, e.doc.doc.Manifest.Config.MediaType) {
			return fmt.Errorf("%s is no image, but a document of the type %.100q: --as is for images", e.doc.Digest,
				cmp.Or(e.doc.doc.Manifest.ArtifactType, e.doc.doc.Manifest.Config.MediaType))
		}
	}
	return nil
}

// imageConfigs are the types of images' configs.
var imageConfigs = []string{ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json"}

// place says where an entry belongs: by its full name, or by its repository, or by the name that was given for one without.
func (l *load) place(d ocispec.Descriptor) (name.Repository, name.Reference, error) {
	text, repository := d.Annotations[ocispec.AnnotationRefName], d.Annotations[imageref.AnnotationRepository]
	if repository != "" && text == "" {
		repo, err := l.Names.Repository(repository, "")
		return repo, "", err
	}
	repo, tag, err := l.parse(text)
	if err != nil && repository == "" {
		if l.Name != "" {
			l.nameless = true
			return l.parse(l.Name)
		}
		err = fmt.Errorf("the image %s has no full name in the file, but %.200q: name it with --as HOST/REPOSITORY:TAG",
			d.Digest,
			text)
	}
	if err == nil && repository != "" && repo.String() != repository {
		err = fmt.Errorf("the image %s is of %.200q by its name and of %.200q by its annotation", d.Digest, repo, repository)
	}
	return repo, tag, err
}

// parse reads a full name. What other tools call an image in a file, such as stable, is none.
func (l *load) parse(text string) (name.Repository, name.Reference, error) {
	host, _, full := strings.Cut(text, "/")
	if !full || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return name.Repository{}, "", fmt.Errorf("%.200q is no full name: write HOST/REPOSITORY:TAG", text)
	}
	return l.Names.ParseReference(text)
}

// room asks for space for all that is to come, so that an import that does not fit ends before it writes.
func (l *load) room(ctx context.Context) error {
	var n int64
	for _, b := range l.blobs() {
		switch size, err := l.Chunks.Stat(ctx, b.Digest); {
		case errors.Is(err, chunkstore.ErrNotFound), err == nil && size != b.Size:
			n += b.Size
		case err != nil:
			return err
		}
	}
	return l.Chunks.Admit(n)
}

// fill puts blobs and manifests into the store.
func (l *load) fill(ctx context.Context) error {
	blobs := l.blobs()
	var total, done int64
	for _, b := range blobs {
		total += b.Size
	}
	for _, b := range blobs {
		if err := l.blob(ctx, b); err != nil {
			return err
		}
		if done += b.Size; l.Progress != nil {
			l.Progress(done, total)
		}
	}
	for _, m := range l.all {
		if _, err := l.Chunks.Put(ctx, m.raw); err != nil {
			return err
		}
		l.report.Blobs++
		l.report.Bytes += m.Size
	}
	return nil
}

func (l *load) blob(ctx context.Context, b ocispec.Descriptor) error {
	size, err := l.Chunks.Stat(ctx, b.Digest)
	switch {
	case err == nil && size == b.Size:
		l.report.Left += b.Size
		return nil
	case err != nil && !errors.Is(err, chunkstore.ErrNotFound):
		return err
	case !l.file.Has(b.Digest):
		return fmt.Errorf("blob %s is neither in the file nor in the store: import the earlier file first that this one was "+
			"exported --since, or export the image whole, without --since", b.Digest)
	}
	r, err := l.file.Blob(ctx, b.Digest, b.Size)
	if err != nil {
		return err
	}
	return closing(l.keep(ctx, b, r), r)
}

func (l *load) keep(ctx context.Context, b ocispec.Descriptor, r io.Reader) error {
	if err := l.Chunks.PutFrom(ctx, chunkstore.Expected{Digest: b.Digest, Size: b.Size}, r); err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest, err)
	}
	l.report.Blobs++
	l.report.Bytes += b.Size
	return nil
}

// record tells the proxy: what manifests are, which repository was proven to have them, what refers to what, and what tags
// stand for.
func (l *load) record(ctx context.Context) error {
	for _, m := range l.all {
		if err := l.describe(ctx, m.Descriptor); err != nil {
			return err
		}
	}
	for _, e := range l.entries {
		if err := l.admit(ctx, e); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{l.refer, l.absent, l.take, l.bring} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, e := range l.entries {
		entry := Entry{Digest: e.doc.Digest, Type: e.doc.MediaType}
		if e.tag != "" {
			entry.Name = e.name()
		}
		l.report.Entries = append(l.report.Entries, entry)
	}
	return nil
}

// describe records what a manifest is, unless that is known: it may have been made here.
func (l *load) describe(ctx context.Context, d ocispec.Descriptor) error {
	have, err := l.Records.Manifests.Get(ctx, d.Digest)
	if err != nil {
		return err
	}
	rec := &catalog.Manifest{MediaType: d.MediaType, Source: d.Digest, Served: catalog.Original}
	if source := l.sources[d.Digest]; source != nil {
		rec.Source, rec.Served = source.Digest, catalog.Rechunked
	}
	if have != nil && (have.Served == catalog.Rechunked || rec.Served == catalog.Original) {
		return nil
	}
	return l.Records.Manifests.Put(ctx, d.Digest, rec)
}

// admit notes that a repository has an entry, and of an index all that it lists.
func (l *load) admit(ctx context.Context, e placed) error {
	have, err := l.Records.Repositories.Get(ctx, e.repo.String())
	if err != nil {
		return err
	}
	if have == nil {
		if err := l.Records.Repositories.Put(ctx, e.repo.String(), &catalog.Repository{Since: l.Now()}); err != nil {
			return err
		}
	}
	proof := &catalog.Proof{At: l.Now(), All: true}
	for _, d := range l.below(e.doc) {
		if err := l.Records.Proofs.Put(ctx, catalog.ContentKey{Repository: e.repo.String(), Digest: d}, proof); err != nil {
			return err
		}
		if err := l.admitSource(ctx, e.repo, d); err != nil {
			return err
		}
	}
	return nil
}

// admitSource notes that a repository has the manifest of what an image was made of. Its layers it has not.
func (l *load) admitSource(ctx context.Context, repo name.Repository, of digest.Digest) error {
	source := l.sources[of]
	if source == nil {
		return nil
	}
	if _, err := l.Chunks.Put(ctx, source.raw); err != nil {
		return err
	}
	if err := l.describe(ctx, source.Descriptor); err != nil {
		return err
	}
	key := catalog.ContentKey{Repository: repo.String(), Digest: source.Digest}
	return l.Records.BlobProofs.Put(ctx, key, &catalog.Proof{At: l.Now()})
}

// below lists a manifest and what an index leads to, each once.
func (l *load) below(m *document) []digest.Digest {
	out := []digest.Digest{m.Digest}
	met := map[digest.Digest]bool{m.Digest: true}
	for i := 0; i < len(out); i++ {
		doc := l.seen[out[i]].doc
		if doc.Index == nil {
			continue
		}
		for _, child := range doc.Index.Manifests() {
			if l.seen[child.Digest] != nil && !met[child.Digest] {
				met[child.Digest] = true
				out = append(out, child.Digest)
			}
		}
	}
	return out
}
