package pulltest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestTags(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	for _, tag := range []string{"c", "a", "e", "b", "d"} {
		h.up.tag(tag, src)
	}
	var all []string
	for page := (registry.Page{N: 2}); ; {
		tags, more, err := h.Lists.Tags(t.Context(), testRepo, page)
		if err != nil || len(tags) > 2 {
			t.Fatalf("%v, %v", tags, err)
		}
		all = append(all, tags...)
		if !more {
			break
		}
		page.Last = tags[len(tags)-1]
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, all); diff != "" {
		t.Error(diff)
	}
	if n := h.up.count("GET tags"); n != 1 {
		t.Errorf("%d listings for the pages of one", n)
	}
	if tags, more, err := h.Lists.Tags(t.Context(), testRepo, registry.Page{N: 1, Last: "bb"}); err != nil || !more ||
		!slices.Equal(tags, []string{"c"}) {
		t.Errorf("after a name that is none: %v, %t, %v", tags, more, err)
	}
	if tags, more, err := h.Lists.Tags(t.Context(), testRepo, registry.Page{N: 0}); err != nil || !more || len(tags) != 0 {
		t.Errorf("a page of nothing: %v, %t, %v", tags, more, err)
	}
}

func TestTagsDuringOutage(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	for _, tag := range []string{"b", "a", "never-pulled"} {
		h.up.tag(tag, src)
	}
	h.up.failWith("GET tags", 503)
	if _, _, err := h.Lists.Tags(t.Context(), testRepo, registry.Page{N: -1}); asClientError(t, err).Status != 503 {
		t.Errorf("nothing is known: %v", err)
	}
	h.pull("b", registry.Rechunked)
	h.pull("a", registry.Rechunked)
	if tags, more, err := h.Lists.Tags(t.Context(), testRepo, registry.Page{N: -1}); err != nil || more ||
		!slices.Equal(tags, []string{"a", "b"}) {
		t.Errorf("%v, %t, %v", tags, more, err)
	}
	h.up.failWith("GET tags", 404)
	if _, _, err := h.Lists.Tags(t.Context(), testRepo, registry.Page{N: -1}); asClientError(t, err).Code != "NAME_UNKNOWN" {
		t.Errorf("a repository that is gone: %v", err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	var want []string
	for _, path := range []string{"c/c", "a/a", "b/b"} {
		repo := nametest.Repository(testRepo.Host() + "/" + path)
		if _, err := h.Images.Manifest(t.Context(), repo, "stable"); err != nil {
			t.Fatal(err)
		}
		want = append(want, repo.String())
	}
	slices.Sort(want)
	got, more, err := h.Lists.Repositories(t.Context(), registry.Page{N: -1})
	if diff := cmp.Diff(want, got); diff != "" || more || err != nil {
		t.Errorf("%s, %t, %v", diff, more, err)
	}
	got, more, err = h.Lists.Repositories(t.Context(), registry.Page{N: 1, Last: want[0]})
	if !slices.Equal(got, want[1:2]) || !more || err != nil {
		t.Errorf("second page: %v, %t, %v", got, more, err)
	}
}

func TestReferrersPassThrough(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const index = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	h.up.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("OCI-Filters-Applied", "artifactType")
		_, _ = w.Write([]byte(index))
		return true
	})
	got, filtered, err := h.Lists.Referrers(t.Context(), testRepo, digest.FromString("x"), "application/x")
	if err != nil || !filtered || !json.Valid(got) || string(got) != index {
		t.Errorf("%s, %t, %v", got, filtered, err)
	}
	h.up.failWith("", 503)
	if _, _, err = h.Lists.Referrers(t.Context(), testRepo, digest.FromString("x"), ""); asClientError(t,
		err).Status != 503 {
		t.Errorf("got %v", err)
	}
}
