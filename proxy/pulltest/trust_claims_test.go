package pulltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// What a manifest says that it was made of is no reason to show it, when it came as a blob and no record tells of it.
func TestClaimedSource(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	h.up.tag("stable", src)
	h.pull("stable", registry.Rechunked)

	evil := bootable(t, "evil").push(t, h.up)
	var m map[string]any
	if err := json.Unmarshal(h.up.manifests[evil].bytes, &m); err != nil {
		t.Fatal(err)
	}
	m["annotations"] = map[string]string{image.AnnotationSource: src.String()}
	d := h.up.putBlob(marshal(t, m))
	for _, blob := range append(content.BlobsOf(marshal(t, m)), d) {
		if b, err := h.Images.OpenBlob(t.Context(), testRepo, blob); err == nil {
			_, _ = io.Copy(io.Discard, b)
			_ = b.Close()
		}
	}
	if e := h.pullError(d.String()); e.Status != http.StatusForbidden && e.Status != http.StatusNotFound {
		t.Error(e)
	}
}

// An image that is marked as being about another one, in an index that nobody signed, is still what its platform pulls.
func TestMarkedForAPlatform(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for platform, fine := range map[string]bool{"linux/amd64": false, "unknown/unknown": true} {
		h := newHarness(t, verifying(s.file))
		arm := bootable(t, "arm").with(arch("arm64")).push(t, h.up)
		s.sign(t, h.up, arm)
		marked := h.up.member(bootable(t, "evil").push(t, h.up), platform)
		marked["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
		h.up.tag("stable", pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(arm, "linux/arm64"), marked}))
		_, err := h.Images.Manifest(t.Context(), testRepo, "stable")
		if (err == nil) != fine {
			t.Errorf("%s: %v", platform, err)
		}
	}
}

// An archive can be text from its first byte to its last, and is one all the same.
func TestArchiveOfText(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	layer := h.up.putBlob(textArchive("etc/cron.d/evil", strings.Repeat(" ", 512)))
	d := disguised(t, h.up, "application/vnd.in-toto+json", func(m map[string]any) {
		m["layers"] = []any{map[string]any{"mediaType": "application/vnd.in-toto+json", "digest": layer, "size": 1024}}
	})
	if e := h.pullError(d.String()); e.Status != http.StatusForbidden {
		t.Error(e)
	}
}

// textArchive is an archive as Unix v7 wrote them, with one member and no zeros in it.
func textArchive(path, content string) []byte {
	header := []byte(strings.Repeat("/", 100-len(path)) + path + "0000644 0000000 0000000 " +
		fmt.Sprintf("%011o %011o ", len(content), 0) + strings.Repeat(" ", 8) + "0" + strings.Repeat(" ", 512-157))
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o  ", sum))
	return append(header, content...)
}
