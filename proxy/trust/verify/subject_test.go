package verify

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/trust/bundle"
)

// A statement that names a repository is about that one alone; most name none, and other texts say nothing.
func TestSubjectNames(t *testing.T) {
	t.Parallel()
	d, other := digest.FromString("this"), digest.FromString("other")
	for name, tt := range map[string]struct {
		subjects []digest.Digest
		names    []string
		as, want string
	}{
		"no names":             {[]digest.Digest{d}, nil, "", ""},
		"an empty name":        {[]digest.Digest{d}, []string{""}, "", ""},
		"this one":             {[]digest.Digest{d}, []string{"r.example/os/a"}, "", ""},
		"this one, a tag":      {[]digest.Digest{d}, []string{"r.example/os/a:1"}, "", ""},
		"another":              {[]digest.Digest{d}, []string{"r.example/os/b"}, "", "another repository, r.example/os/b"},
		"another registry":     {[]digest.Digest{d}, []string{"localhost:5000/os/a"}, "", "another repository"},
		"this one as signed":   {[]digest.Digest{d}, []string{"up.example/a"}, "up.example/a", ""},
		"not as signed":        {[]digest.Digest{d}, []string{"r.example/os/a"}, "up.example/a", "another repository"},
		"one of them":          {[]digest.Digest{d, d}, []string{"r.example/os/b", "r.example/os/a"}, "", ""},
		"of another subject":   {[]digest.Digest{other, d}, []string{"r.example/os/b", ""}, "", ""},
		"a purl":               {[]digest.Digest{d}, []string{"pkg:docker/r.example/os/b@1"}, "", ""},
		"an address":           {[]digest.Digest{d}, []string{"https://r.example/os/b"}, "", ""},
		"a file":               {[]digest.Digest{d}, []string{"dist/os.tar"}, "", ""},
		"of nothing like that": {[]digest.Digest{other}, []string{"r.example/os/a"}, "", "another image"},
	} {
		s := &search{Policy: &Policy{SignedAs: tt.as},
			img: Image{Digest: d, Repository: nametest.Repository("r.example/os/a")}}
		err := s.about(&bundle.Statement{Subjects: tt.subjects, Names: tt.names, Type: bundle.Signed})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
