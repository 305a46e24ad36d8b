package registrytest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// list is what tags/list and _catalog answer.
type list struct {
	Name         string    `json:"name"`
	Tags         *[]string `json:"tags"`
	Repositories *[]string `json:"repositories"`
}

// names returns the list itself, which is never null.
func (l list) names(t *testing.T) []string {
	t.Helper()
	switch {
	case l.Tags != nil:
		return *l.Tags
	case l.Repositories != nil:
		return *l.Repositories
	}
	t.Fatal("the list is missing or null")
	return nil
}

func (f Fixture) list(t *testing.T, path string) (list, answer) {
	t.Helper()
	a := f.get(t, path, http.StatusOK)
	a.want(t, "Content-Type", "application/json")
	var l list
	if err := json.Unmarshal(a.body, &l); err != nil {
		t.Fatalf("%s: %v: %.200s", path, err, a.body)
	}
	return l, a
}

func checkTags(t *testing.T, f Fixture) {
	path := "/v2/" + f.Repository + "/tags/list"
	l, _ := f.list(t, path)
	if l.Name != f.Repository {
		t.Errorf("name %q, asked for %q", l.Name, f.Repository)
	}
	if !slices.Contains(l.names(t), f.Tag) {
		t.Errorf("tag %q is not listed", f.Tag)
	}
	checkPages(t, f, path, l.names(t))
}

func checkCatalog(t *testing.T, f Fixture) {
	if !f.Catalog {
		t.Skip("the fixture has no catalog")
	}
	f.get(t, f.manifestPath(f.Tag), http.StatusOK)
	l, _ := f.list(t, "/v2/_catalog")
	if !slices.Contains(l.names(t), f.Repository) {
		t.Errorf("%q is not in the catalog", f.Repository)
	}
	checkPages(t, f, "/v2/_catalog", l.names(t))
}

var next = regexp.MustCompile(`^<(/v2/[^>]+)>; rel="next"$`)

// checkPages checks that the pages add up to the whole list, and the values of n.
func checkPages(t *testing.T, f Fixture, path string, all []string) {
	t.Helper()
	if !slices.IsSorted(all) {
		t.Errorf("%s: not in ascending order", path)
	}
	var joined []string
	for page := path + "?n=1"; page != ""; {
		l, a := f.list(t, page)
		names := l.names(t)
		joined = append(joined, names...)
		if len(names) > 1 || len(joined) > len(all) {
			t.Fatalf("%s: %d names, %d in all", page, len(names), len(joined))
		}
		link := a.header.Get("Link")
		if link == "" {
			break
		}
		m := next.FindStringSubmatch(link)
		if m == nil {
			t.Fatalf("%s: Link %q", page, link)
		}
		page = m[1]
	}
	if diff := cmp.Diff(all, joined); diff != "" {
		t.Errorf("%s: pages of one do not add up: %s", path, diff)
	}
	if len(all) > 0 {
		if l, _ := f.list(t, path+"?last="+all[0]); !slices.Equal(l.names(t), all[1:]) {
			t.Errorf("%s?last=%s: %q", path, all[0], l.names(t))
		}
	}
	l, a := f.list(t, path+"?n=0")
	if len(l.names(t)) != 0 || a.header.Get("Link") != "" {
		t.Errorf("%s?n=0: %q, Link %q", path, l.names(t), a.header.Get("Link"))
	}
	if l, _ := f.list(t, path+"?n=99999999999999999999999"); len(l.names(t)) == 0 && len(all) > 0 {
		t.Errorf("%s: nothing for a large n", path)
	}
	for _, n := range []string{"", "-1", "%2B1", "x", "1.5", "0x1", "%D9%A1"} {
		f.refused(t, http.MethodGet, path+"?n="+n, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID")
	}
}

func checkReferrers(t *testing.T, f Fixture) {
	path := "/v2/" + f.Repository + "/referrers/"
	unknown := ocispec.DescriptorEmptyJSON.Digest.String()
	for _, query := range []string{"", "?artifactType=application/vnd.example.no-such-type"} {
		for _, d := range []string{f.Manifest.Digest().String(), unknown} {
			a := f.get(t, path+d+query, http.StatusOK)
			a.want(t, "Content-Type", ocispec.MediaTypeImageIndex)
			var index struct {
				SchemaVersion int    `json:"schemaVersion"`
				MediaType     string `json:"mediaType"`
				Manifests     *[]ocispec.Descriptor
			}
			if err := json.Unmarshal(a.body, &index); err != nil {
				t.Fatalf("%v: %.200s", err, a.body)
			}
			if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
				t.Errorf("not an image index: %.200s", a.body)
				continue
			}
			if filters := a.header.Get("Oci-Filters-Applied"); (query != "") != (filters == "artifactType") {
				t.Errorf("%q: OCI-Filters-Applied %q", query, filters)
			}
			if (query != "" || d == unknown) && len(*index.Manifests) != 0 {
				t.Errorf("%q: %d referrers of %s", query, len(*index.Manifests), d)
			}
		}
	}
	f.refused(t, http.MethodGet, path+"latest", http.StatusBadRequest, "DIGEST_INVALID")
}
