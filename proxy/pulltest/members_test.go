package pulltest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/pull/proof"
	"github.com/strata-oci/strata/proxy/registry"
)

// otherRepo is at the same upstream, which has nothing there.
var otherRepo = nametest.Repository(testRepo.Host() + "/other/os")

// Who may pull from one repository does not get another's content by its digest, whether it comes from the upstream or was made here.
func TestMembers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.only(testRepo)
	source := bootable(t, "secret").push(t, h.up)
	h.up.tag("stable", source)
	h.ruled.Store(true)
	closed := h.Proven

	served, err := closed.Manifest(t.Context(), testRepo, "stable")
	if err != nil || served.Served != registry.Rechunked {
		t.Fatal(served, err)
	}
	var doc ocispec.Manifest
	if err := json.Unmarshal(served.Bytes, &doc); err != nil {
		t.Fatal(err)
	}
	original, err := closed.Manifest(t.Context(), testRepo, name.Reference(source))
	if err != nil {
		t.Fatal(err)
	}
	blobs := append(content.BlobsOf(served.Bytes), content.BlobsOf(original.Bytes)...)
	fresh := newHarness(t, func(o *harness) { o.driver, o.up, o.clock = h.driver, h.up, h.clock; o.ruled.Store(true) }).Proven // another replica
	for _, m := range []*proof.Members{closed, fresh} {
		for _, d := range []digest.Digest{served.Digest, source} {
			if _, err := m.Manifest(t.Context(), testRepo, name.Reference(d)); err != nil {
				t.Errorf("manifest %s where it belongs: %v", d, err)
			}
			denied(t, "manifest "+d.String(), func() error { _, err := m.Manifest(t.Context(), otherRepo, name.Reference(d)); return err })
		}
		for _, d := range blobs {
			if _, err := m.StatBlob(t.Context(), testRepo, d); err != nil {
				t.Errorf("blob %s where it belongs: %v", d, err)
			}
			b, err := m.OpenBlob(t.Context(), testRepo, d)
			if err != nil {
				t.Fatalf("blob %s where it belongs: %v", d, err)
			}
			_ = b.Close()
			denied(t, "stat of "+d.String(), func() error { _, err := m.StatBlob(t.Context(), otherRepo, d); return err })
			denied(t, "blob "+d.String(), func() error { _, err := m.OpenBlob(t.Context(), otherRepo, d); return err })
		}
	}
	h.ruled.Store(false)
	if _, err := h.Proven.StatBlob(t.Context(), otherRepo, blobs[0]); err != nil {
		t.Errorf("where everybody may pull everything: %v", err)
	}
}

// Content of which nothing is noted is the upstream's to know.
func TestMembersAskTheUpstream(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.only(testRepo)
	source := bootable(t, "x").push(t, h.up)
	h.up.tag("stable", source)
	h.pull("stable", registry.Rechunked) // before there were rules
	h.ruled.Store(true)
	m := h.Proven
	original, err := m.Manifest(t.Context(), testRepo, name.Reference(source))
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	again := h.Proven
	for _, d := range content.BlobsOf(original.Bytes) {
		if _, err := again.StatBlob(t.Context(), testRepo, d); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// only leaves an upstream nothing outside of a repository.
func (u *fakeUpstream) only(repo name.Repository) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/"+repo.Path()+"/") || r.URL.Path == "/v2/" {
			return false
		}
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "")
		return true
	}
}

func denied(t *testing.T, what string, f func() error) {
	t.Helper()
	var e *registry.Error
	if err := f(); !errors.As(err, &e) || e.Status != http.StatusNotFound || strings.Contains(e.Message, "belong") {
		t.Errorf("%s under another repository's name: %v", what, err)
	}
}
