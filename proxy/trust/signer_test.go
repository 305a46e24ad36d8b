package trust_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// made are images that were made here.
type made map[digest.Digest]*registry.Manifest

func (m made) Stored(_ context.Context, _ name.Repository, d digest.Digest) (*registry.Manifest, error) {
	return m[d], nil
}

// rig is a signer on a store in a directory.
type rig struct {
	chunks    *chunkstore.Store
	records   *catalog.Records
	documents *trust.Documents
	signer    *trust.Signer
	images    made
	now       time.Time
}

var repo = nametest.Repository("ghcr.io/ublue-os/bluefin")

func newRig(t testing.TB, dir string, key keys.Private) *rig {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	pem, err := key.Encrypt(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	chunks, err := chunkstore.New(filesystem.New(filesystem.DriverParameters{RootDirectory: dir, MaxThreads: 100}),
		chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	r := &rig{chunks: chunks, records: catalog.New(chunks, log), images: made{}, now: time.Now()}
	work := background.New(background.Options{Logger: log, Panicked: func(string) {}, Now: time.Now})
	t.Cleanup(func() { _ = work.Close(context.Background()) })
	r.documents = trust.NewDocuments(trust.DocumentOptions{
		Enabled: func(string) bool { return true }, Chunks: chunks, Records: r.records.Signatures,
		Evidence: r.records.Evidence, Logger: log, Now: func() time.Time { return r.now },
	})
	settings := trust.SigningSettings{DefaultUpstream: "ghcr.io", Version: "test"}
	settings.KeyFile, settings.Names = file, []string{"proxy.test"}
	rule := config.DefaultRule()
	rule.Sign = config.SignUnverified
	r.signer = trust.NewSigner(trust.SignerOptions{
		Settings: func() trust.SigningSettings { return settings }, Rule: func(string) config.Rule { return rule },
		Manifests: r.images, Documents: r.documents, Plans: r.records.Plans, Work: work, Logger: log, Now: time.Now,
	})
	return r
}

// sign signs an image.
func (r *rig) sign(t testing.TB, text string) digest.Digest {
	t.Helper()
	doc := image.Document{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Bytes: []byte(text)}
	source := digest.FromString("source of " + text)
	r.images[doc.Digest] = &registry.Manifest{
		MediaType: doc.MediaType, Digest: doc.Digest, Bytes: doc.Bytes, Source: source, Origin: registry.MadeHere,
	}
	if err := r.signer.Sign(t.Context(), repo, doc, source); err != nil {
		t.Fatal(err)
	}
	return doc.Digest
}

// count returns how many contents are stored, and their bytes.
func (r *rig) count(t testing.TB) (n int, size int64) {
	t.Helper()
	if err := r.chunks.Walk(t.Context(), func(i chunkstore.Info) error {
		n, size = n+1, size+i.Size
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n, size
}

func newKey(t testing.TB) keys.Private {
	t.Helper()
	key, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What was signed of an image is one content of the store, and all of it is found by its digests: by who signed, by another
// process, and in no other repository.
func TestDocuments(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), newKey(t)
	first := newRig(t, dir, key)
	d := first.sign(t, "image")
	if n, size := first.count(t); n != 1 || size > 8<<10 {
		t.Errorf("%d contents of %d bytes", n, size)
	}
	rec, err := first.records.Signatures.Get(t.Context(), catalog.ContentKey{Repository: repo.String(), Digest: d})
	if err != nil || rec == nil || len(rec.Documents) != 10 {
		t.Fatalf("%+v, %v", rec, err)
	}
	second := newRig(t, dir, key)
	for _, r := range []*rig{first, second} {
		for _, p := range rec.Documents {
			blob, err := r.documents.Blob(t.Context(), repo, p.Digest)
			if blob == nil || err != nil {
				t.Fatalf("%s: %v, %v", p.Digest, blob, err)
			}
			b, err := io.ReadAll(blob)
			if digest.FromBytes(b) != p.Digest || blob.Size() != p.Size || err != nil {
				t.Errorf("%s: %d bytes, %v", p.Digest, len(b), err)
			}
			other := nametest.Repository("ghcr.io/ublue-os/other")
			if blob, err := r.documents.Blob(t.Context(), other, p.Digest); blob != nil || err != nil {
				t.Errorf("another repository has %s, %v", p.Digest, err)
			}
		}
		for i, want := range []bool{true, false, false} { // the signature image, its config, a payload
			m, err := r.documents.Manifest(t.Context(), repo, rec.Documents[i].Digest)
			if (m != nil) != want || err != nil {
				t.Errorf("document %d is a manifest: %v, %v", i, m, err)
			}
		}
	}
	// What another process signs later is found, too, but not at once.
	later := first.sign(t, "later")
	if rec, err = first.records.Signatures.Get(t.Context(),
		catalog.ContentKey{Repository: repo.String(), Digest: later}); err != nil {
		t.Fatal(err)
	}
	second.now = second.now.Add(time.Second)
	if m, err := second.documents.Manifest(t.Context(), repo, rec.Referrers[0].Digest); m == nil || err != nil {
		t.Errorf("%v, %v", m, err)
	}
}

// A pack that is lost or damaged is made again by who asks for the signature.
func TestLostPack(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), newKey(t))
	d := r.sign(t, "image")
	rec, err := r.records.Signatures.Get(t.Context(), catalog.ContentKey{Repository: repo.String(), Digest: d})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.chunks.Delete(t.Context(), rec.Pack); err != nil {
		t.Fatal(err)
	}
	if b, err := r.documents.Blob(t.Context(), repo, rec.Documents[2].Digest); b != nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
	m, ours, err := r.signer.Signature(t.Context(), repo, name.Reference(simplesigning.Tag(d)))
	if err != nil || !ours || m.Digest != rec.Image {
		t.Errorf("%v, %v, %v", m, ours, err)
	}
	if b, err := r.documents.Blob(t.Context(), repo, rec.Documents[2].Digest); b == nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
}

// A crash may leave a record without its pack, as both are written at once: whoever needs the signature next makes it again,
// also where only what refers to the image is asked for.
func TestRecordWithoutPack(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), newKey(t)
	first := newRig(t, dir, key)
	d := first.sign(t, "image")
	rec, err := first.records.Signatures.Get(t.Context(), catalog.ContentKey{Repository: repo.String(), Digest: d})
	if err != nil {
		t.Fatal(err)
	}
	for what, ask := range map[string]func(*rig) error{
		"referrers": func(r *rig) error {
			r.images[d] = first.images[d]
			_, _, _, err := r.signer.Referrers(t.Context(), repo, d)
			return err
		},
		"a job": func(r *rig) error { r.sign(t, "image"); return nil },
	} {
		if err := first.chunks.Delete(t.Context(), rec.Pack); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, dir, key)
		if err := ask(r); err != nil {
			t.Fatal(err)
		}
		for _, p := range rec.Documents {
			if b, err := r.documents.Blob(t.Context(), repo, p.Digest); b == nil || err != nil {
				t.Errorf("%s: %s: %v, %v", what, p.Digest, b, err)
			}
		}
	}
}

// What a job pays for its signature with a store on a disk: in one pack, and what it would be with each document by itself.
func BenchmarkSigner(b *testing.B) {
	b.Run("packed", func(b *testing.B) {
		r := newRig(b, b.TempDir(), newKey(b))
		r.sign(b, "first") // reads the key, which takes a second by design
		for i := 0; b.Loop(); i++ {
			r.sign(b, time.Duration(i).String())
		}
		n, size := r.count(b)
		b.ReportMetric(float64(n-1)/float64(b.N), "blobs/op")
		b.ReportMetric(float64(size)/float64(n), "bytes/blob")
	})
	// A job notes what an image was made of at the same time, and waits for that, too: what signing adds is the difference.
	b.Run("beside the image's record", func(b *testing.B) {
		r := newRig(b, b.TempDir(), newKey(b))
		r.sign(b, "first")
		note := func(text string) {
			source := digest.FromString("source of " + text)
			if err := r.records.Manifests.Put(b.Context(), digest.FromString(text), &catalog.Manifest{
				MediaType: ocispec.MediaTypeImageManifest, Source: source, Served: catalog.Rechunked,
			}); err != nil {
				b.Fatal(err)
			}
		}
		var alone, both time.Duration
		for i := 0; b.Loop(); i++ {
			start := time.Now()
			note("unsigned " + time.Duration(i).String())
			noted := time.Now()
			var signing errgroup.Group
			signing.Go(func() error {
				r.sign(b, time.Duration(i).String())
				return nil
			})
			note(time.Duration(i).String())
			_ = signing.Wait() // it fails by itself
			alone, both = alone+noted.Sub(start), both+time.Since(noted)
		}
		b.ReportMetric(float64(both-alone)/float64(b.N)/1e6, "added-ms/op")
	})
	b.Run("apart", func(b *testing.B) {
		r, apart := newRig(b, b.TempDir(), newKey(b)), newRig(b, b.TempDir(), newKey(b))
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			d := r.sign(b, time.Duration(i).String())
			key := catalog.ContentKey{Repository: repo.String(), Digest: d}
			rec, err := r.records.Signatures.Get(b.Context(), key)
			if err != nil {
				b.Fatal(err)
			}
			pack, err := r.chunks.Get(b.Context(), rec.Pack, image.MaxDocument)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			var g errgroup.Group
			for _, p := range rec.Documents {
				g.Go(func() error {
					doc, err := p.In(pack)
					if err == nil {
						_, err = apart.chunks.Put(b.Context(), doc)
					}
					return err
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			if err := apart.records.Signatures.Put(b.Context(), key, rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
