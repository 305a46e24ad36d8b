package pulltest

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
)

// A stored blob that rotted does not reach its end, and is not served a second time; one that is right is read here
// once only.
func TestRotIsNotServed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.tag("stable", bootable(t, "one").push(t, h.up))
	m := h.pull("stable", registry.Rechunked)
	good, bad := content.BlobsOf(m.Bytes)[0], layers(t, m)[0]
	h.corrupt(bad)
	h.clock.advance(time.Second)
	b, err := h.Images.OpenBlob(t.Context(), testRepo, bad)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, ok := b.(registry.FileBlob); ok {
		t.Error("the kernel would send bytes that nobody has seen")
	}
	got, err := io.ReadAll(b)
	if !errors.Is(err, chunkstore.ErrCorrupt) || int64(len(got)) >= b.Size() {
		t.Errorf("%d of %d bytes, %v", len(got), b.Size(), err)
	}
	if _, err := h.Images.OpenBlob(t.Context(), testRepo, bad); asClientError(t, err).Status != 404 {
		t.Errorf("a second time: %v", err)
	}
	h.blob(good)
	again, err := h.Images.OpenBlob(t.Context(), testRepo, good)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, ok := again.(registry.FileBlob); !ok {
		t.Error("what was verified is hashed again")
	}
	h.pull("stable", registry.Rechunked)
	h.blob(bad) // made again
}
