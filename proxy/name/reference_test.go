package name_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("a", 64)
	for _, c := range []struct {
		in  string
		err error
	}{
		{in: "latest"}, {in: "_x"}, {in: "A.b-c_1"}, {in: strings.Repeat("t", 128)},
		{in: "sha256-" + hex + ".sig"},
		{in: "sha256:" + hex}, {in: "sha512:" + hex + hex},
		{in: "", err: name.ErrTagInvalid}, {in: ".x", err: name.ErrTagInvalid}, {in: "-x", err: name.ErrTagInvalid},
		{in: "a/b", err: name.ErrTagInvalid}, {in: "ä", err: name.ErrTagInvalid}, {in: "a\n", err: name.ErrTagInvalid},
		{in: strings.Repeat("t", 129), err: name.ErrTagInvalid},
		{in: "sha256:", err: name.ErrDigestInvalid}, {in: ":", err: name.ErrDigestInvalid},
		{in: "sha256:" + hex[1:], err: name.ErrDigestInvalid}, {in: "sha256:" + hex + "a", err: name.ErrDigestInvalid},
		{in: "sha256:" + strings.ToUpper(hex), err: name.ErrDigestInvalid},
		{in: "SHA256:" + hex, err: name.ErrDigestInvalid},
		{in: "sha512:" + hex, err: name.ErrDigestInvalid}, {in: "sha384:" + hex, err: name.ErrDigestInvalid},
		{in: "md5:" + hex, err: name.ErrDigestInvalid}, {in: "sha256:" + hex[2:] + ":a", err: name.ErrDigestInvalid},
	} {
		got, err := name.ParseRef(c.in)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%q: error %v, want %v", c.in, err, c.err)
		}
		if want := c.in; err == nil && string(got) != want || err != nil && got != "" {
			t.Errorf("%q: %q", c.in, got)
		}
	}
}

func TestParseReference(t *testing.T) {
	t.Parallel()
	d := digest.FromString("x").String()
	type result struct {
		Repo name.Repository
		Ref  name.Reference
	}
	at := func(host, path, ref string) result {
		return result{nametest.Repository(host + "/" + path), name.Reference(ref)}
	}
	for _, c := range []struct {
		in   string
		want result
		err  error
	}{
		{in: "ghcr.io/a/b:tag", want: at("ghcr.io", "a/b", "tag")},
		{in: "ghcr.io/a/b", want: at("ghcr.io", "a/b", "latest")},
		{in: "ghcr.io/a/b@" + d, want: at("ghcr.io", "a/b", d)},
		{in: "ghcr.io/a/b:tag@" + d, want: at("ghcr.io", "a/b", d)},
		{in: "a/b", want: at("quay.io", "a/b", "latest")},
		{in: "a:x", want: at("quay.io", "a", "x")},
		{in: "localhost:5000/a", want: at("localhost:5000", "a", "latest")},
		{in: "localhost:5000/a:5000", want: at("localhost:5000", "a", "5000")},
		{in: "docker.io/alpine:3", want: at("docker.io", "library/alpine", "3")},
		{in: "localhost:5000", err: name.ErrInvalid},
		{in: "docker://ghcr.io/a/b", err: name.ErrInvalid},
		{in: "ghcr.io/a/b:", err: name.ErrTagInvalid},
		{in: "ghcr.io/a/b:.x", err: name.ErrTagInvalid},
		{in: "ghcr.io/a/b:.x@" + d, err: name.ErrTagInvalid},
		{in: "ghcr.io/a/b@", err: name.ErrDigestInvalid},
		{in: "ghcr.io/a/b@" + d + "@" + d, err: name.ErrDigestInvalid},
		{in: "@" + d, err: name.ErrInvalid},
		{in: "", err: name.ErrInvalid},
		{in: strings.Repeat("a", 1000), err: name.ErrInvalid},
	} {
		var got result
		var err error
		got.Repo, got.Ref, err = name.Parser{DefaultUpstream: "quay.io"}.ParseReference(c.in)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%q: error %v, want %v", c.in, err, c.err)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(name.Repository{})); diff != "" {
			t.Errorf("%q: %s", c.in, diff)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("ghcr.io/a/b:tag")
	f.Add("a/b@" + digest.FromString("x").String())
	f.Add("localhost:5000/a:5000")
	f.Add("docker://x:y@z")
	f.Fuzz(func(t *testing.T, s string) {
		repo, ref, err := name.Parser{DefaultUpstream: "quay.io"}.ParseReference(s)
		if err != nil {
			return
		}
		sep := ":"
		if ref.IsDigest() {
			sep = "@"
		}
		again, refAgain, err := name.Parser{}.ParseReference(repo.String() + sep + string(ref))
		if err != nil || again != repo || refAgain != ref {
			t.Errorf("%q: %v %v reads back as %v %v, %v", s, repo, ref, again, refAgain, err)
		}
		if checked, err := name.ParseRef(string(ref)); err != nil || checked != ref {
			t.Errorf("%q: reference %q: %v", s, ref, err)
		}
	})
}

func ExampleParser_Repository() {
	p := name.Parser{DefaultUpstream: "ghcr.io"}
	for _, path := range []string{"quay.io/fedora/fedora-bootc", "ublue-os/bluefin", "docker.io/alpine"} {
		repo, err := p.Repository(path, "")
		fmt.Println(repo, err)
	}
	// Output:
	// quay.io/fedora/fedora-bootc <nil>
	// ghcr.io/ublue-os/bluefin <nil>
	// docker.io/library/alpine <nil>
}

func ExampleParser_ParseReference() {
	repo, ref, err := name.Parser{DefaultUpstream: "ghcr.io"}.ParseReference("ublue-os/bluefin:stable")
	fmt.Println(repo.Host(), repo.Path(), ref, err)
	// Output: ghcr.io ublue-os/bluefin stable <nil>
}

func TestAbout(t *testing.T) {
	t.Parallel()
	d := digest.FromString("an image")
	for _, kind := range []string{"", ".sig", ".att", ".sbom"} {
		tag := name.TagAbout(d, kind)
		if of, k, ok := tag.About(); of != d || k != kind || !ok || !tag.AboutImage() {
			t.Errorf("%s is about %s, %q, %t", tag, of, k, ok)
		}
	}
	for _, tag := range []name.Reference{"latest", name.Reference(d), name.TagAbout(d, ".pub"), name.TagAbout(d, "x")} {
		if _, _, ok := tag.About(); ok || tag.AboutImage() {
			t.Errorf("%s is about an image", tag)
		}
	}
}
