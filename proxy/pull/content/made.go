package content

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxMadeBlobs bounds the memory of madeBlobs to some megabytes.
const maxMadeBlobs = 1 << 16

// madeBlobs remember which blobs belong to rechunked images. Clients ask for blobs after the manifest that names them,
// so those of the manifests that were served lately are the ones that count. It is for metrics and logs only.
type madeBlobs struct {
	seen *lru.Cache[digest.Digest, struct{}]
}

func newMadeBlobs() madeBlobs {
	seen, _ := lru.New[digest.Digest, struct{}](maxMadeBlobs) // fails for sizes below 1 only
	return madeBlobs{seen}
}

// NoteMade remembers the blobs of an image that was made here and is being served.
func (b *Blobs) NoteMade(m *registry.Manifest) {
	if image.IsIndex(m.MediaType) || b.made.seen.Contains(m.Digest) {
		return
	}
	b.made.seen.Add(m.Digest, struct{}{})
	for _, d := range BlobsOf(m.Bytes) {
		b.made.seen.Add(d, struct{}{})
	}
}

// origin tells where a stored blob is from.
func (b madeBlobs) origin(d digest.Digest) registry.Origin {
	if _, ok := b.seen.Get(d); ok {
		return registry.MadeHere
	}
	return registry.FromStore
}
