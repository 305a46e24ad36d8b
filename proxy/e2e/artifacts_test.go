package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrers lists what refers to a manifest and is of a type.
func (p *proxy) referrers(d digest.Digest, artifactType string) []ocispec.Descriptor {
	p.tb.Helper()
	b, _ := body(p.tb, p.get("os/image/referrers/"+d.String()))
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		p.tb.Fatalf("%s: %v", b, err)
	}
	return slices.DeleteFunc(index.Manifests, func(m ocispec.Descriptor) bool { return m.ArtifactType != artifactType })
}

// artifact waits for the one delta that leads to an image, and returns its digest.
func (p *proxy) artifact(to, from digest.Digest) digest.Digest {
	p.tb.Helper()
	for range 600 {
		if list := p.referrers(to, "application/vnd.io.github.containers.oci-delta.v1"); len(list) > 0 {
			if got := list[0].Annotations["io.github.containers.delta.source"]; len(list) != 1 || got != from.String() {
				p.tb.Fatalf("%d deltas lead to %s, the first from %s, want %s", len(list), to, got, from)
			}
			return list[0].Digest
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.tb.Fatalf("no delta leads to %s", to)
	return ""
}

// With oci_deltas for both, deltas lead from version to version between the images that the proxy made, and between
// upstream's own, whose digests and signatures stay. Clients have them by the referrers of what they lead to, and strata
// delta
// --apply makes the images again: the proxy's byte for byte, upstream's with the same filesystem and diff_ids.
func TestArtifactsOfBoth(t *testing.T) {
	t.Parallel()
	by := newKeyPair(t)
	u := newUpstream(t)
	images := series(false)
	p := newProxy(t, u, proxyOptions{rule: "oci_deltas: {back: [1], images: both}\n" + verifying(by)})
	var served, source []digest.Digest
	for n := range 2 {
		u.push("os/image:stable", images[n])
		source = append(source, u.digest("os/image:stable"))
		u.cosignTag("os/image", source[n], by)
		served = append(served, p.moved("stable", source[n]))
	}
	for name, images := range map[string][]digest.Digest{"served": served, "upstream": source} {
		at := func(d digest.Digest) string { return "docker://" + p.image("os/image@"+d.String()) }
		var made struct {
			Target, Digest string
			Exact          bool
			Layers         []struct{ How string }
		}
		to := "oci:" + t.TempDir() + ":2"
		strata(t, &made, "delta", "--insecure", "--apply", at(images[0]), at(p.artifact(images[1], images[0])), to)
		if made.Target != images[1].String() || made.Exact && made.Digest != made.Target || name == "served" && !made.Exact {
			t.Errorf("%s: %+v, want %s", name, made, images[1])
		}
		command(t, nil, program, "verify", "--insecure", at(images[1]), to)
		t.Logf("%s: %+v", name, made)
		// Ours lead between any two images, these among them.
		file := t.TempDir() + "/ours.delta"
		command(t, nil, program, "delta", "--insecure", "--format", "strata", at(images[0]), at(images[1]), file)
		strata(t, &made, "delta", "--insecure", "--apply", at(images[0]), file, to)
		if made.Target != images[1].String() {
			t.Errorf("ours, %s: %+v", name, made)
		}
		command(t, nil, program, "verify", "--insecure", at(images[1]), to)
	}
	// What upstream signed is there under the digests that it signed.
	tag := strings.Replace(source[1].String(), ":", "-", 1) + ".sig"
	p.wantManifest("os/image/manifests/"+tag, http.StatusOK, "original")
}

// moved pulls a tag until it is of a source, and returns what is served.
func (p *proxy) moved(tag string, source digest.Digest) digest.Digest {
	p.tb.Helper()
	for range 600 {
		resp := p.get("os/image/manifests/" + tag)
		if _, d := body(p.tb, resp); resp.Header.Get("Strata-Source-Digest") == source.String() &&
			resp.Header.Get("Strata-Served") == "rechunked" {
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.tb.Fatalf("%s is never made of %s", tag, source)
	return ""
}
