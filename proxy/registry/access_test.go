package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

// only lets everybody into some repositories, and notes what it was asked.
type only struct {
	repositories []string
	asked        *[]registry.Want
}

func (o only) Authorize(w http.ResponseWriter, _ *http.Request, want registry.Want) (registry.Grant, error) {
	*o.asked = append(*o.asked, want)
	sees := func(r string) bool { return slices.Contains(o.repositories, r) }
	if want.Repository.Host() != "" && !sees(want.Repository.String()) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		return registry.Grant{}, registry.Unauthorized("log in")
	}
	return registry.Grant{User: "alice", Sees: sees}, nil
}

// Every route of a repository is refused in the same way, before the backend hears of it.
func TestAccess(t *testing.T) {
	t.Parallel()
	backend, m, blob := newFake()
	var asked []registry.Want
	o := backend.options(nil)
	o.Access = only{[]string{testRepo}, &asked}
	h := registry.New(o)
	d := m.Digest.String()
	for _, path := range []string{
		"manifests/stable", "manifests/none", "manifests/" + d, "manifests/.bad", "blobs/" + d, "blobs/nothing",
		"referrers/" + d, "tags/list",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := call(h, method, "/v2/ghcr.io/secret/image/"+path)
			if got.Code != http.StatusUnauthorized || got.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s: %d", method, path, got.Code)
			}
		}
	}
	if got := call(h, http.MethodGet, "/strata/v1/delta?repository=ghcr.io/secret/image&layer=bad"); got.Code !=
		http.StatusUnauthorized || got.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("a delta: %d", got.Code)
	}
	if backend.repo != (name.Repository{}) {
		t.Errorf("the backend was asked about %s", backend.repo)
	}
	for path, want := range map[string]int{"manifests/stable": 200, "manifests/none": 404, "tags/list": 200} {
		if got := call(h, http.MethodGet, "/v2/"+testRepo+"/"+path); got.Code != want {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	if got := call(h, http.MethodGet, "/v2/"); got.Code != 200 {
		t.Errorf("base: %d", got.Code)
	}
	_ = blob
	// Names as clients write them, when they alone stand for the repository.
	asked = nil
	call(h, http.MethodGet, "/v2/ublue-os/bluefin/tags/list?ns=ghcr.io")
	call(h, http.MethodGet, "/v2/ghcr.io/ublue-os/bluefin/tags/list")
	repo := nametest.Repository("ghcr.io/ublue-os/bluefin")
	if diff := cmp.Diff([]registry.Want{{Repository: repo}, {Repository: repo, Asked: testRepo}}, asked,
		equateNames); diff != "" {
		t.Error(diff)
	}
}

// Pages of the catalog are as long as if the hidden repositories were not there.
func TestAccessCatalog(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	backend.catalog = nil
	var visible []string
	for i := range 50 {
		n := fmt.Sprintf("ghcr.io/r%02d", i)
		backend.catalog = append(backend.catalog, n)
		if i%7 == 3 {
			visible = append(visible, n)
		}
	}
	for _, size := range []int{1, 2, 3, 100} {
		o := backend.options(nil)
		o.Access, o.MaxPage = only{visible, &[]registry.Want{}}, size
		h := registry.New(o)
		var got []string
		for next := "/v2/_catalog"; next != ""; {
			answer := call(h, http.MethodGet, next)
			var page struct{ Repositories []string }
			if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Repositories...)
			next = ""
			if link := answer.Header().Get("Link"); link != "" {
				if len(page.Repositories) != size {
					t.Errorf("a page of %d has %d", size, len(page.Repositories))
				}
				next = link[1:strings.IndexByte(link, '>')]
			}
		}
		if diff := cmp.Diff(visible, got); diff != "" {
			t.Errorf("pages of %d (-want +got)\n%s", size, diff)
		}
	}
}
