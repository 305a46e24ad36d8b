package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]target{
		"/v2":                                {route: RouteBase},
		"/v2/":                               {route: RouteBase},
		"/v2/_catalog":                       {route: RouteCatalog},
		"/v2/a/b/manifests/x":                {RouteManifest, "a/b", "x"},
		"/v2/a/blobs/sha256:1":               {RouteBlob, "a", "sha256:1"},
		"/v2/a/referrers/sha256:1":           {RouteReferrers, "a", "sha256:1"},
		"/v2/a/tags/list":                    {RouteTags, "a", ""},
		"/v2/a/manifests/manifests/x":        {RouteManifest, "a/manifests", "x"},
		"/v2/manifests/blobs/manifests/tags": {RouteManifest, "manifests/blobs", "tags"},
		"/v2/a/tags/manifests/list":          {RouteManifest, "a/tags", "list"},
		"/v2/a/manifests/tags/list":          {RouteTags, "a/manifests", ""},
		"/v2/a/tags/list/tags/list":          {RouteTags, "a/tags/list", ""},
		"/v2/blobs/uploads/blobs/x":          {RouteBlob, "blobs/uploads", "x"},
		"/v2/a/blobs/uploads/tags/list":      {RouteTags, "a/blobs/uploads", ""},
		"/v2/a/blobs/uploads/manifests/x":    {RouteManifest, "a/blobs/uploads", "x"},
		"/v2/a/blobs/uploads":                {RouteUpload, "a", ""},
		"/v2/a/blobs/uploads/":               {RouteUpload, "a", ""},
		"/v2/a/blobs/uploads/uuid":           {RouteUpload, "a", "uuid"},
		"/v2//manifests/x":                   {route: RouteUnknown},
		"/v2/manifests/x":                    {route: RouteUnknown},
		"/v2/a/manifests/":                   {route: RouteUnknown},
		"/v2/a/tags/list/":                   {route: RouteUnknown},
		"/v2/a/tags":                         {route: RouteUnknown},
		"/v2/a//manifests/x":                 {RouteManifest, "a/", "x"}, // which the grammar of names refuses
		"/v2/_catalog/":                      {route: RouteUnknown},
		"/v2a/b/manifests/x":                 {route: RouteUnknown},
		"/v1/":                               {route: RouteUnknown},
		"/strata/v1/delta":                   {route: RouteDelta},
		"/strata/v1/delta/":                  {route: RouteUnknown},
		"/v2/strata/v1/delta":                {route: RouteUnknown},
		"/casync/a/b/v1.caibx":               {RouteChunkIndex, "a/b", "v1"},
		"/casync/a/store/v1.caibx":           {RouteChunkIndex, "a/store", "v1"},
		"/casync/a/store/12ab/x.cacnk":       {RouteChunk, "a", "12ab/x.cacnk"},
		"/casync/a/b/default.castr/12ab/x":   {RouteChunk, "a/b", "12ab/x"},
		"/casync/store/12ab/x":               {route: RouteUnknown},
		"/casync/v1.caibx":                   {route: RouteUnknown},
		"/casync/a/.caibx":                   {route: RouteUnknown},
		"/casync/a/other/12ab/x":             {route: RouteUnknown},
		"/casync/":                           {route: RouteUnknown},
		"/casync":                            {route: RouteUnknown},
		"":                                   {route: RouteUnknown},
		"/":                                  {route: RouteUnknown},
		"*":                                  {route: RouteUnknown},
	} {
		got := parsePath(path)
		if got.route == RouteUpload {
			got.reference, want.reference = "", ""
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("%q: %s", path, diff)
		}
	}
}

// FuzzParsePath checks that what was taken apart is the path, put together again.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{
		"/v2/a/b/manifests/x", "/v2/a/blobs/uploads/", "/v2/a/tags/list", "/v2/a/referrers/sha256:1", "/v2/_catalog", "/v2",
		"//", "/casync/a/b.caibx", "/casync/a/store/0123/x.cacnk",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := parsePath(path)
		var again []string
		switch got.route {
		case RouteManifest:
			again = []string{"/v2/" + got.name + "/manifests/" + got.reference}
		case RouteBlob:
			again = []string{"/v2/" + got.name + "/blobs/" + got.reference}
		case RouteReferrers:
			again = []string{"/v2/" + got.name + "/referrers/" + got.reference}
		case RouteTags:
			again = []string{"/v2/" + got.name + "/tags/list"}
		case RouteUpload:
			again = []string{"/v2/" + got.name + "/blobs/uploads", "/v2/" + got.name + "/blobs/uploads/" + got.reference}
		case RouteBase:
			again = []string{"/v2", "/v2/"}
		case RouteChunkIndex:
			again = []string{chunksPrefix + got.name + "/" + got.reference + indexSuffix}
		case RouteChunk:
			for _, store := range chunkStores {
				again = append(again, chunksPrefix+got.name+"/"+store+"/"+got.reference)
			}
		case RouteDelta:
			again = []string{deltaPath}
		case RouteCatalog:
			again = []string{"/v2/_catalog"}
		case RouteUnknown:
			return
		}
		for _, a := range again {
			if a == path {
				if got.route != RouteUpload && got.route != RouteChunk && strings.Contains(got.reference, "/") {
					t.Errorf("%q: reference %q", path, got.reference)
				}
				return
			}
		}
		t.Errorf("%q became %+v", path, got)
	})
}
