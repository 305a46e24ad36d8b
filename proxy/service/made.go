package service

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxMadeBlobs bounds the memory of madeBlobs to some megabytes.
const maxMadeBlobs = 1 << 16

// madeBlobs remember which blobs belong to rechunked images. Clients ask for blobs after the manifest that names them, so those of
// the manifests that were served lately are the ones that count. It is for metrics and logs only.
type madeBlobs struct {
	seen *lru.Cache[digest.Digest, struct{}]
}

func newMadeBlobs() madeBlobs {
	seen, _ := lru.New[digest.Digest, struct{}](maxMadeBlobs) // fails for sizes below 1 only
	return madeBlobs{seen}
}

// note remembers the blobs of a rechunked image.
func (b madeBlobs) note(m *registry.Manifest) {
	if image.IsIndex(m.MediaType) || b.has(m.Digest) {
		return
	}
	b.seen.Add(m.Digest, struct{}{})
	for _, d := range blobsOf(m.Bytes) {
		b.seen.Add(d, struct{}{})
	}
}

func (b madeBlobs) has(d digest.Digest) bool {
	_, ok := b.seen.Get(d)
	return ok
}
