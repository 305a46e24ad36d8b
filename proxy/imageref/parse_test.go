package imageref

import (
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/legible"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for in, want := range map[string]string{
		"oci:dir":                        "oci:dir",
		"oci:/srv/a b:v1":                "oci:/srv/a b:v1",
		"oci:./dir:docker.io/foo/bar:v2": "oci:./dir:docker.io/foo/bar:v2",
		"oci-archive:x.tar":              "oci-archive:x.tar",
		"oci-archive:x.tar:a--b":         "oci-archive:x.tar:a--b",
		"docker://ghcr.io/x/y":           "docker://ghcr.io/x/y:latest",
		"ghcr.io/x/y:stable":             "docker://ghcr.io/x/y:stable",
		"localhost:5000/y@sha256:" + hex: "docker://localhost:5000/y@sha256:" + hex,
		"ghcr.io/y:t@sha256:" + hex:      "docker://ghcr.io/y:t@sha256:" + hex,
		"fedora":                         "docker://docker.io/library/fedora:latest",
		"oci":                            "docker://docker.io/library/oci:latest",
		"docker://dir:v1":                "docker://docker.io/library/dir:v1",
	} {
		got, err := Parse(in)
		if err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
			continue
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", got, again, err, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                      "is empty",
		"oci:":                                  "the path after",
		"oci-archive::v1":                       "the path after",
		"oci:dir:":                              "leave the colon out",
		"oci:dir:-x":                            "don't allow",
		"oci:c:/dir":                            "can't hold a colon",
		"/srv/layout":                           "looks like a path",
		"./layout":                              "looks like a path",
		"~/layout":                              "looks like a path",
		"https://ghcr.io/x":                     "unknown kind",
		"containers-storage:x":                  "unknown kind",
		"docker-archive:x.tar":                  "unknown kind",
		"docker://":                             "lower case",
		"ghcr.io/Foo/bar":                       "lower case",
		"docker://a\nb":                         "does not show",
		"x@sha256:12":                           "lower case",
		"oci:" + strings.Repeat("x", maxRefLen): "longer than 4096 bytes",
		"oci:x:" + strings.Repeat("x", maxTagLen+1):         "longer than 255 bytes",
		"x@sha512:" + strings.Repeat("0123456789abcdef", 8): "sha512 is not supported",
	} {
		_, err := Parse(in)
		wantError(t, err, want)
	}
	if _, err := (Ref{}).Open(t.Context(), Options{}); err == nil {
		t.Error("the zero reference opened")
	}
	if _, err := (Ref{}).Create(t.Context(), Options{}); err == nil {
		t.Error("the zero reference was created")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"oci:d:t", "oci-archive:f", "docker://ghcr.io/x/y:z", "x", "dir:x", "a@sha256:00",
		"oci:a:b:c@d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if !legible.Plain(err.Error()) {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("%q: %#v reads back as %#v, %v", s, r, again, err)
		}
	})
}
