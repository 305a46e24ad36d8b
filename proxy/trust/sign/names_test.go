package sign_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// A name is signed only where the proxy takes it for the image that is signed, since hosts know other images by the rest.
func TestNamesAreOfTheImageAlone(t *testing.T) {
	t.Parallel()
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		about, usual, host, path string
		names                    []string
		want                     []string // beside the image's own name
	}{
		{"a plain path", "up.test", "up.test", "org/app", []string{"p.test"},
			[]string{"p.test/up.test/org/app", "p.test/org/app"}},
		{"a path like a host's", "up.test", "up.test", "other.test/app", []string{"p.test"},
			[]string{"p.test/up.test/other.test/app"}},
		{"a path like localhost's", "up.test", "up.test", "localhost/app", []string{"p.test"},
			[]string{"p.test/up.test/localhost/app"}},
		{"a path like an address's", "up.test", "up.test", "10.0.0.1/app", []string{"p.test"},
			[]string{"p.test/up.test/10.0.0.1/app"}},
		{"a path like its own host's", "up.test", "up.test", "up.test/app", []string{"p.test"},
			[]string{"p.test/up.test/up.test/app"}},
		{"one element with a dot", "up.test", "up.test", "node.js", []string{"p.test"}, []string{"p.test/up.test/node.js"}},
		{"localhost", "localhost", "localhost", "app", []string{"p.test"}, []string{"p.test/localhost/app", "p.test/app"}},
		{"a port", "up.test:5000", "up.test:5000", "a/b", []string{"p.test:8080"},
			[]string{"p.test:8080/up.test:5000/a/b", "p.test:8080/a/b"}},
		{"a port that goes without saying", "up.test:443", "up.test", "a/b", []string{"p.test"},
			[]string{"p.test/up.test/a/b", "p.test/a/b"}},
		{"an alias of Docker Hub", "index.docker.io", "docker.io", "library/nginx", []string{"p.test"},
			[]string{"p.test/docker.io/library/nginx", "p.test/library/nginx"}},
		{"another registry", "up.test", "other.test", "app", []string{"p.test"}, []string{"p.test/other.test/app"}},
		{"no usual registry", "", "up.test", "org/app", []string{"p.test"}, []string{"p.test/up.test/org/app"}},
		{"a name with a path", "up.test", "up.test", "app", []string{"p.test", "p.test/mirror"},
			[]string{"p.test/up.test/app", "p.test/app", "p.test/mirror/up.test/app", "p.test/mirror/app"}},
		{"a path like another name's", "up.test", "up.test", "mirror/app", []string{"p.test", "p.test/mirror"},
			[]string{"p.test/up.test/mirror/app", "p.test/mirror/up.test/mirror/app", "p.test/mirror/mirror/app"}},
		{"a name that ends like a registry", "up.test", "other.test", "app", []string{"p.test", "p.test/other.test"},
			[]string{"p.test/other.test/other.test/app"}},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			repo, err := name.At(c.host, c.path)
			if err != nil {
				t.Fatal(err)
			}
			m := &sign.Maker{Keys: []keys.Private{key}, Names: c.names, DefaultUpstream: c.usual}
			docs, err := m.Sign(sign.Subject{
				Host: repo.Host(), Path: repo.Path(), Source: digest.FromString("source"),
				Manifest: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("served"),
					Size: 6},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range docs.Image.Payloads {
				claim, err := simplesigning.ParsePayload(p.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, claim.Reference)
			}
			if want := append([]string{repo.String()}, c.want...); !slices.Equal(got, want) {
				t.Errorf("signed %q, want %q", got, want)
			}
		})
	}
}
