package oneshot_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
	"github.com/strata-oci/strata/rechunk/image"
)

// put sends what a registry is to have.
func put(t *testing.T, method, url, mediaType string, b []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
}

// attach stores a bundle of some predicate that refers to an image, and returns what lists have of it.
func attach(t *testing.T, host string, subject ocispec.Descriptor, raw []byte, predicate string) ocispec.Descriptor {
	t.Helper()
	a, err := bundle.Attach(subject, raw, predicate)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + host + "/v2/os/image/"
	for _, b := range []image.Document{a.Bundle, a.Config} {
		put(t, http.MethodPost, base+"blobs/uploads/?digest="+b.Digest.String(), "application/octet-stream", b.Bytes)
	}
	put(t, http.MethodPut, base+"manifests/"+a.Manifest.Digest.String(), a.Manifest.MediaType, a.Manifest.Bytes)
	return ocispec.Descriptor{MediaType: a.Manifest.MediaType, Digest: a.Manifest.Digest, Size: int64(len(a.Manifest.Bytes)),
		ArtifactType: bundle.MediaType, Annotations: a.Annotations}
}

// list puts a list of referrers under the tag that stands in for the API.
func list(t *testing.T, host string, of digest.Digest, all []ocispec.Descriptor) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": all})
	if err != nil {
		t.Fatal(err)
	}
	put(t, http.MethodPut, "http://"+host+"/v2/os/image/manifests/sha256-"+of.Encoded(), ocispec.MediaTypeImageIndex, b)
}

// altered returns a bundle whose statement is another, with the signature that it had.
func altered(t *testing.T, raw []byte, old, now digest.Digest) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	envelope := b["dsseEnvelope"].(map[string]any)
	said, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	said = bytes.ReplaceAll(said, []byte(old.Encoded()), []byte(now.Encoded()))
	envelope["payload"] = base64.StdEncoding.EncodeToString(said)
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Of what an image was made is believed to who has the key, who said it of this image and of this source.
func TestProvenance(t *testing.T) {
	ours, theirs := generate(t), generate(t)
	host := newRegistry(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for what, c := range map[string]struct {
		by     keys.Private // who attests
		about  digest.Digest
		source digest.Digest // "" is the right one
		change bool
		silent bool // there is no provenance
		want   string
	}{
		"good":           {by: ours},
		"changed":        {by: ours, change: true, want: "signature"},
		"missing":        {by: ours, silent: true, want: "says nothing of how it was made"},
		"another key":    {by: theirs, want: "signature"},
		"another image":  {by: ours, about: digest.FromString("x"), want: "about another image"},
		"another source": {by: ours, source: digest.FromString("y"), want: "not of sha256:"},
	} {
		t.Run(what, func(t *testing.T) {
			name := host + "/os/image:" + strings.ReplaceAll(what, " ", "-")
			source := version(map[string]uint64{what: 1}).Write(t, host+"/os/source:"+strings.ReplaceAll(what, " ", "-"))
			made := version(map[string]uint64{what: 2}).Write(t, name)
			subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: made, Size: 1}
			said := subject
			if c.about != "" {
				said.Digest = c.about
			}
			from := source
			if c.source != "" {
				from = c.source
			}
			m := sign.Maker{Keys: []keys.Private{c.by}}
			docs, err := m.Sign(sign.Subject{Host: "reg.example", Path: "os", Manifest: said, Source: from})
			if err != nil {
				t.Fatal(err)
			}
			var all []ocispec.Descriptor
			for _, a := range docs.Artifacts {
				predicate := bundle.Predicate(a.Annotations)
				raw := a.Bundle.Bytes
				switch {
				case predicate == bundle.Provenance && c.silent:
					continue
				case predicate == bundle.Provenance && c.change:
					raw = altered(t, raw, source, digest.FromString("z"))
				}
				all = append([]ocispec.Descriptor{attach(t, host, subject, raw, predicate)}, all...) // the signature last
			}
			list(t, host, made, all)
			key, where, err := oneshot.Provenance(t.Context(), host+"/os/source@"+source.String(), name,
				[]keys.Public{ours.Public()}, oneshot.Options{})
			if c.want == "" {
				if err != nil || key.ID() != ours.Public().ID() || where != "reg.example/os" {
					t.Errorf("%s, %q, %v", key.ID(), where, err)
				}
				return
			}
			if !errors.Is(err, oneshot.ErrProvenance) || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

func generate(t *testing.T) keys.Private {
	t.Helper()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
