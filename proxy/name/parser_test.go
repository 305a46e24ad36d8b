package name_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestRepository(t *testing.T) {
	t.Parallel()
	bluefin := nametest.Repository("ghcr.io/ublue-os/bluefin")
	for _, c := range []struct {
		name, path, ns, upstream string
		want                     name.Repository
		err                      error
		says                     string
	}{
		{name: "host in the path", path: "ghcr.io/ublue-os/bluefin", want: bluefin},
		{name: "host in the path, other default", path: "ghcr.io/ublue-os/bluefin", upstream: "quay.io", want: bluefin},
		{name: "default", path: "ublue-os/bluefin", upstream: "ghcr.io", want: bluefin},
		{name: "ns", path: "ublue-os/bluefin", ns: "ghcr.io", want: bluefin},
		{name: "ns over default", path: "ublue-os/bluefin", ns: "ghcr.io", upstream: "quay.io", want: bluefin},
		{name: "ns and the same host", path: "ghcr.io/ublue-os/bluefin", ns: "ghcr.io", want: bluefin},
		{name: "port", path: "localhost:5000/a", want: nametest.Repository("localhost:5000/a")},
		{name: "port without domain", path: "registry:1/a", want: nametest.Repository("registry:1/a")},
		{name: "localhost", path: "localhost/a/b", want: nametest.Repository("localhost/a/b")},
		{name: "IPv4", path: "10.0.0.1:65535/a", want: nametest.Repository("10.0.0.1:65535/a")},
		{name: "deep", path: "quay.io/a/b/c/d", want: nametest.Repository("quay.io/a/b/c/d")},
		{name: "punycode", path: "xn--bcher-kva.example/a", want: nametest.Repository("xn--bcher-kva.example/a")},
		{name: "separators", path: "q.io/a.b/c__d/e---f_g", want: nametest.Repository("q.io/a.b/c__d/e---f_g")},
		{name: "route words", path: "q.io/blobs/manifests/tags", want: nametest.Repository("q.io/blobs/manifests/tags")},

		{name: "official by ns", path: "alpine", ns: "docker.io", want: nametest.Repository("docker.io/library/alpine")},
		{name: "official in the path", path: "docker.io/alpine", want: nametest.Repository("docker.io/library/alpine")},
		{name: "official by default", path: "alpine", upstream: "docker.io",
			want: nametest.Repository("docker.io/library/alpine")},
		{name: "library stays", path: "docker.io/library/alpine", want: nametest.Repository("docker.io/library/alpine")},
		{name: "no library elsewhere", path: "quay.io/alpine", want: nametest.Repository("quay.io/alpine")},
		{name: "dotted official by ns", path: "node.js", ns: "docker.io",
			want: nametest.Repository("docker.io/library/node.js")},
		{name: "alias", path: "index.docker.io/a/b", want: nametest.Repository("docker.io/a/b")},
		{name: "alias in ns", path: "docker.io/a/b", ns: "registry-1.docker.io", want: nametest.Repository("docker.io/a/b")},
		{name: "dotted namespace", path: "quay.io/foo.bar/x", ns: "quay.io", want: nametest.Repository("quay.io/foo.bar/x")},

		{name: "no default", path: "ublue-os/bluefin", err: name.ErrNoUpstream, says: "must start with a registry's host"},
		{name: "bad default", path: "a/b", upstream: "ghcr", err: name.ErrInvalid, says: "default upstream"},
		{name: "contradiction", path: "ghcr.io/a/b", ns: "quay.io", err: name.ErrInvalid, says: "ns names"},
		{name: "bad ns", path: "a/b", ns: "https://ghcr.io", err: name.ErrInvalid, says: "ns"},
		{name: "ns without domain", path: "a/b", ns: "ghcr", err: name.ErrInvalid, says: "domain or a port"},
		{name: "empty", path: "", upstream: "ghcr.io", err: name.ErrInvalid},
		{name: "host only", path: "ghcr.io", upstream: "quay.io", err: name.ErrInvalid, says: "without a repository"},
		{name: "host and slash", path: "ghcr.io/", err: name.ErrInvalid},
		{name: "capital in the path", path: "ghcr.io/Ublue/x", err: name.ErrInvalid, says: "lower case"},
		{name: "capital in the host", path: "GHCR.io/ublue/x", err: name.ErrInvalid, says: "lower case"},
		{name: "empty component", path: "ghcr.io/a//b", err: name.ErrInvalid},
		{name: "dots", path: "ghcr.io/../b", err: name.ErrInvalid},
		{name: "leading dots", path: "../b", err: name.ErrInvalid},
		{name: "escape", path: "ghcr.io/a%2fb", err: name.ErrInvalid},
		{name: "user", path: "user@ghcr.io/a", err: name.ErrInvalid},
		{name: "user and password", path: "user:pw@ghcr.io/a", err: name.ErrInvalid},
		{name: "scheme", path: "https://ghcr.io/a", err: name.ErrInvalid},
		{name: "IPv6", path: "[::1]:5000/a", err: name.ErrInvalid},
		{name: "port zero", path: "ghcr.io:0/a", err: name.ErrInvalid, says: "port"},
		{name: "port too large", path: "ghcr.io:65536/a", err: name.ErrInvalid, says: "port"},
		{name: "port with zero", path: "ghcr.io:0443/a", err: name.ErrInvalid, says: "port"},
		{name: "port missing", path: "ghcr.io:/a", err: name.ErrInvalid, says: "port"},
		{name: "two ports", path: "ghcr.io:1:2/a", err: name.ErrInvalid, says: "port"},
		{name: "short IPv4", path: "127.1/a", err: name.ErrInvalid, says: "IPv4"},
		{name: "hex IPv4", path: "127.0.0.0x1/a", err: name.ErrInvalid, says: "IPv4"},
		{name: "number", path: "2130706433:80/a", err: name.ErrInvalid, says: "IPv4"},
		{name: "octal IPv4", path: "127.0.0.01/a", err: name.ErrInvalid, says: "IPv4"},
		{name: "trailing dot", path: "ghcr.io./a", err: name.ErrInvalid},
		{name: "leading hyphen", path: "-a.io/a", err: name.ErrInvalid},
		{name: "space", path: "ghcr.io/a b", err: name.ErrInvalid},
		{name: "newline", path: "ghcr.io/a\n", err: name.ErrInvalid},
		{name: "unicode", path: "ghcr.io/ä", err: name.ErrInvalid},
		{name: "three underscores", path: "ghcr.io/a___b", err: name.ErrInvalid},
		{name: "too long", path: "ghcr.io/" + strings.Repeat("a", 248), err: name.ErrInvalid, says: "255"},
		{name: "too long with default", path: strings.Repeat("a", 250), upstream: "ghcr.io", err: name.ErrInvalid,
			says: "255"},
		{name: "longest", path: "ghcr.io/" + strings.Repeat("a", 247),
			want: nametest.Repository("ghcr.io/" + strings.Repeat("a", 247))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := name.Parser{DefaultUpstream: c.upstream}.Repository(c.path, c.ns)
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(name.Repository{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzRepository checks that what is accepted is canonical: it reads back as itself and the reference grammar agrees on its
// parts.
func FuzzRepository(f *testing.F) {
	f.Add("ghcr.io/ublue-os/bluefin", "", "")
	f.Add("alpine", "docker.io", "ghcr.io")
	f.Add("localhost:5000/a/b", "localhost:5000", "quay.io")
	f.Add("node.js", "docker.io", "")
	f.Add("a/../b", "", "ghcr.io")
	f.Add("127.1/a%2fb", "user@ghcr.io", "[::1]:80")
	f.Fuzz(func(t *testing.T, path, ns, upstream string) {
		r, err := name.Parser{DefaultUpstream: upstream}.Repository(path, ns)
		if err != nil {
			if r != (name.Repository{}) {
				t.Errorf("%v beside error %v", r, err)
			}
			if !errors.Is(err, name.ErrInvalid) && !errors.Is(err, name.ErrNoUpstream) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if len(r.String()) > 255 || strings.ContainsAny(r.String(), "%@?#\\ \n") || strings.Contains(r.String(), "..") {
			t.Errorf("accepted %q", r)
		}
		named, err := reference.ParseNamed(r.String())
		if err != nil || reference.Domain(named) != r.Host() || reference.Path(named) != r.Path() {
			t.Errorf("reference reads %q as %v, %v", r, named, err)
		}
		for _, ns := range []string{"", r.Host()} {
			if again, err := (name.Parser{}).Repository(r.String(), ns); err != nil || again != r {
				t.Errorf("%q with ns %q reads back as %v, %v", r, ns, again, err)
			}
		}
	})
}

func BenchmarkRepository(b *testing.B) {
	for b.Loop() {
		if _, err := (name.Parser{}).Repository("ghcr.io/ublue-os/bluefin", ""); err != nil {
			b.Fatal(err)
		}
	}
}
