package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/trust/verify/verifytest"
)

// update writes the fixtures of proxy/trust/verify anew.
var update = flag.Bool("update-fixtures", false, "write cosign's fixtures anew")

// cosignCommands are the fixtures' commands, by their names.
func cosignCommands() map[string][]string {
	const (
		sign    = "sign --sign-container-identity registry.test/org/os "
		attest  = "attest --type custom --predicate predicate.json "
		key     = "--key cosign.key --tlog-upload=false "
		keyless = "--fulcio-url $SIGSTORE --rekor-url $SIGSTORE --identity-token $TOKEN --insecure-skip-verify "
	)
	out := map[string][]string{}
	for name, command := range map[string]string{
		"key": sign + key, "keyless": sign + keyless, "attest": attest + key, "index": sign + key,
	} {
		for form, flag := range map[string]string{"tag": "false", "bundle": "true"} {
			out[name+"-"+form] = strings.Fields(command + "--new-bundle-format=" + flag +
				" --use-signing-config=false --yes --allow-insecure-registry --allow-http-registry")
		}
	}
	return out
}

// Real cosign 2 and 3 sign and attest an image in both forms, with a key and with a certificate, in a registry of the tests.
// What comes of that looks like the fixtures that are checked in, which -update-fixtures writes.
func TestCosignFixtures(t *testing.T) {
	t.Parallel()
	a := keylesstest.New(t)
	services := a.Serve(t)
	for _, version := range []int{2, 3} {
		key := cosignKey(t, version)
		for name, args := range cosignCommands() {
			u := newUpstreamOf(t, registry.New(registry.WithReferrersSupport(true),
				registry.Logger(log.New(io.Discard, "", 0))))
			image := u.push("org/os:1", sourceImage{})
			if strings.HasPrefix(name, "index") {
				image = u.pushIndex("org/os:1", image)
			}
			args = append(args, "$REGISTRY/org/os@"+image.digest().String())
			f := verifytest.Fixture{Cosign: version, Command: "cosign " + strings.Join(args, " ")}
			if strings.HasPrefix(name, "keyless") {
				f.Identity, f.Issuer, f.Root = a.Identity, a.Issuer, a.Root
			} else {
				f.Key = readFile(t, key+".pub")
			}
			predicate := filepath.Join(t.TempDir(), "predicate.json")
			if err := os.WriteFile(predicate, []byte(`{"tested": true}`), 0o600); err != nil {
				t.Fatal(err)
			}
			here := strings.NewReplacer("cosign.key", key+".key", "predicate.json", predicate, "$SIGSTORE", services,
				"$TOKEN", a.Token(t), "$REGISTRY", u.host())
			for i := range args {
				args[i] = here.Replace(args[i])
			}
			if _, err := cosignOf(t, version, nil, args...); err != nil {
				t.Errorf("%d, %s: %v", version, name, err)
				continue
			}
			u.record(&f, image)
			checkFixture(t, fmt.Sprintf("../trust/verify/testdata/cosign%d/%s.json", version, name), f)
		}
	}
}

// pushIndex stores an index of an image.
func (u *upstream) pushIndex(name string, of document) document {
	u.tb.Helper()
	d := of.descriptor()
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	all := marshal(u.tb, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	u.put(name, all)
	return all
}

// record takes everything that belongs to an image out of the registry.
func (u *upstream) record(f *verifytest.Fixture, image document) {
	u.tb.Helper()
	f.Image, f.Manifests, f.Blobs = string(image.raw), map[string]string{}, map[string]string{}
	d := image.digest()
	take := func(ref string, m []byte) {
		f.Manifests[ref] = string(m)
		var doc ocispec.Manifest
		if err := json.Unmarshal(m, &doc); err != nil {
			u.tb.Fatal(err)
		}
		for _, l := range doc.Layers {
			f.Blobs[l.Digest.String()] = u.text("blobs/" + l.Digest.String())
		}
	}
	for _, tag := range []string{simplesigning.Tag(d), strings.Replace(simplesigning.Tag(d), ".sig", ".att", 1)} {
		m, err := remote.Get(u.reference("org/os:" + tag))
		var missing *transport.Error
		if errors.As(err, &missing) && missing.StatusCode == http.StatusNotFound {
			continue
		}
		if err != nil {
			u.tb.Fatal(err)
		}
		take(tag, m.Manifest)
	}
	var index ocispec.Index
	f.Referrers = u.text("referrers/" + d.String())
	if err := json.Unmarshal([]byte(f.Referrers), &index); err != nil {
		u.tb.Fatal(err)
	}
	for _, m := range index.Manifests {
		take(m.Digest.String(), []byte(u.text("manifests/"+m.Digest.String())))
	}
}

// text is what the registry has at a path of the repository.
func (u *upstream) text(path string) string {
	u.tb.Helper()
	resp, err := http.Get(u.server.URL + "/v2/org/os/" + path)
	if err != nil {
		u.tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := body(u.tb, resp)
	if resp.StatusCode != http.StatusOK {
		u.tb.Fatalf("%s: %s", path, resp.Status)
	}
	return string(b)
}

// checkFixture compares the shape of a fixture with the file's: everything but digests, keys and signatures.
func checkFixture(t *testing.T, file string, f verifytest.Fixture) {
	t.Helper()
	if *update {
		b, err := json.MarshalIndent(f, "", "  ")
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(b, '\n'), 0o644))
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
	var have verifytest.Fixture
	if err := json.Unmarshal([]byte(readFile(t, file)), &have); err != nil {
		t.Fatal(err)
	}
	if got, want := shape(f), shape(have); got != want {
		t.Errorf("%s: cosign makes\n%s\nand not\n%s", file, got, want)
	}
}

// shape are the names of annotations and the media types of what is in a fixture.
func shape(f verifytest.Fixture) string {
	var lines []string
	for ref, raw := range f.Manifests {
		var m ocispec.Manifest
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			lines = append(lines, err.Error())
		}
		if _, err := digest.Parse(ref); err == nil {
			ref = "referrer"
		}
		line := fmt.Sprint(ref[max(0, len(ref)-8):], " ", m.MediaType, " ", m.ArtifactType)
		for _, l := range m.Layers {
			line += " " + l.MediaType
			var names []string
			for n := range l.Annotations {
				names = append(names, n)
			}
			slices.Sort(names)
			line += fmt.Sprint(names)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return f.Command + "\n" + strings.Join(lines, "\n")
}
