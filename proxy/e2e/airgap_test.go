package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// gap is a proxy that reaches no registry.
func gap(t *testing.T, o proxyOptions) *proxy {
	t.Helper()
	nobody := newUpstream(t)
	nobody.stop()
	return newProxy(t, nobody, o)
}

func (p *proxy) imports(file string, flags ...string) error {
	p.tb.Helper()
	_, err := try(p.tb, nil, program, append([]string{"import", "--config", p.config, file}, flags...)...)
	return err
}

// exports writes an image of the proxy to a file.
func (p *proxy) exports(image string, flags ...string) string {
	p.tb.Helper()
	file := filepath.Join(p.tb.TempDir(), "image.tar")
	command(p.tb, nil, program, append([]string{"export", p.image(image), file}, flags...)...)
	return file
}

func verifying(k keyPair) string { return "verify: {keys: [" + k.public + "]}" }

// An image that a proxy made of a signed one goes by file to a proxy that reaches nothing and knows upstream's key alone.
// That believes it for what the file proves, and hosts behind it pull it by their policies: where it signs, by its key, else
// by that of the first proxy. Another key's owner is refused, and so is a file that anybody changed.
func TestAirGapKeepsUpstreamsSignature(t *testing.T) {
	t.Parallel()
	upstreams, central, site, other := newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t)
	u := newSeries(t)
	for _, v := range []string{"v1", "v2"} {
		u.cosignTag("os/image", u.digest("os/image:"+v), upstreams)
	}
	signing := func(k keyPair) string {
		return fmt.Sprintf("signing: {key_file: %s, password_file: %s, names: [host]}\n", k.private, k.passwordFile())
	}
	p := newProxy(t, u, proxyOptions{rule: verifying(upstreams), top: signing(central)})
	first := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	one := p.exports("os/image:v1")
	second := p.wantManifest("os/image/manifests/v2", http.StatusOK, "rechunked")
	since := "oci-archive:" + one + ":" + upstreamHost + "/os/image:v1"
	two := p.exports("os/image:v2", "--since", since, "--delta")
	v1 := u.digest("os/image:v1")
	u.stop()

	good := gap(t, proxyOptions{rule: verifying(upstreams), top: signing(site)})
	if err := good.imports(two); err == nil || !strings.Contains(err.Error(), "which is not whole in the store") {
		t.Errorf("a delta without its image: %v", err)
	}
	if resp := good.get("os/image/manifests/v2"); resp.StatusCode < 400 {
		t.Errorf("half an import is served: %d", resp.StatusCode)
	}
	for range 2 {
		if err := good.imports(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := good.imports(two); err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]digest.Digest{"v1": first, "v2": second} {
		if got := good.wantManifest("os/image/manifests/"+tag, http.StatusOK, "stale"); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
		if err := layersOf(t, good, tag); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if got := good.get("os/image/manifests/v1").Header.Get("Strata-Source-Digest"); got != v1.String() {
		t.Errorf("its source is %s, not %s", got, v1)
	}
	good.wantManifest("os/image/manifests/"+simplesigning.Tag(first), http.StatusOK, "original")
	good.named()
	sees(t, good, site, good.image("os/image:v1"), good.image("os/image@"+first.String()), upstreamHost+"/os/image:v1")

	wrong := gap(t, proxyOptions{rule: verifying(other)})
	if err := wrong.imports(one); err == nil || !strings.Contains(err.Error(), other.Public().ID()) {
		t.Errorf("it was imported although another key is asked for: %v", err)
	}
	if resp := wrong.get("os/image/manifests/v1"); resp.StatusCode < 400 {
		t.Errorf("what was refused is served: %d", resp.StatusCode)
	}
	if err := wrong.imports(one, "--force"); err != nil {
		t.Fatal(err)
	}
	refused := wrong.get("os/image/manifests/v1")
	if b, _ := body(t, refused); refused.StatusCode != http.StatusForbidden ||
		!strings.Contains(string(b), other.Public().ID()) {
		t.Errorf("another key: %d: %s", refused.StatusCode, b)
	}

	plain := gap(t, proxyOptions{rule: verifying(upstreams)})
	if err := plain.imports(one); err != nil {
		t.Fatal(err)
	}
	sees(t, plain, central, upstreamHost+"/os/image:v1", upstreamHost+"/os/image@"+first.String())
	for name, change := range map[string]func(map[string][]byte){
		"other files":  otherFiles,
		"other config": otherConfig,
		"no proof":     func(f map[string][]byte) { dropProof(t, f) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victim := gap(t, proxyOptions{rule: verifying(upstreams)})
			err := victim.imports(rewritten(t, one, change))
			if err == nil {
				t.Error("it was imported")
			}
			if resp := victim.get("os/image/manifests/v1"); resp.StatusCode < 400 {
				t.Errorf("it is served: %d", resp.StatusCode)
			}
			t.Log(err)
		})
	}
}

// sees has a host whose policy asks for a key pull images of a proxy without network.
func sees(t *testing.T, gap *proxy, by keyPair, images ...string) {
	t.Helper()
	t.Run("host", func(t *testing.T) {
		h := newStrictHost(t, gap.Clients,
			map[string]string{upstreamHost: signedBy(by.public), gap.Clients: signedBy(by.public)})
		for _, image := range images {
			if err := h.pull(image); err != nil {
				t.Errorf("%s: %v", image, err)
			}
		}
	})
}

// layersOf reads all layers of an image.
func layersOf(t *testing.T, p *proxy, tag string) error {
	t.Helper()
	layers, err := crane(t, p.image("os/image:"+tag)).Layers()
	for _, l := range layers {
		rc, lerr := l.Compressed()
		if lerr == nil {
			_, lerr = io.Copy(io.Discard, rc)
			lerr = errors.Join(lerr, rc.Close())
		}
		err = errors.Join(err, lerr)
	}
	return err
}

// rewritten is an archive with other files.
func rewritten(t *testing.T, file string, change func(map[string][]byte)) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	change(files)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "changed.tar")
	if err := os.WriteFile(out, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

func blobFile(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

// changed changes the image of an archive, and all digests that lead to it: whoever does that has no key, and needs none for
// a file that proves nothing.
func changed(files map[string][]byte, change func(m *ocispec.Manifest)) {
	var index ocispec.Index
	_ = json.Unmarshal(files["index.json"], &index) // what fails shows in the test
	old := index.Manifests[0].Digest
	var m ocispec.Manifest
	_ = json.Unmarshal(files[blobFile(old)], &m)
	change(&m)
	raw, _ := json.Marshal(m)
	d := digest.FromBytes(raw)
	files[blobFile(d)] = raw
	text := strings.ReplaceAll(string(files["index.json"]), old.String(), d.String())
	text = strings.Replace(text, fmt.Sprintf(`"size":%d`, index.Manifests[0].Size), fmt.Sprintf(`"size":%d`, len(raw)), 1)
	files["index.json"] = []byte(text)
}

// otherFiles leaves out a layer.
func otherFiles(files map[string][]byte) {
	changed(files, func(m *ocispec.Manifest) {
		var c ocispec.Image
		_ = json.Unmarshal(files[blobFile(m.Config.Digest)], &c)
		m.Layers = m.Layers[:len(m.Layers)-1]
		c.RootFS.DiffIDs, c.History = c.RootFS.DiffIDs[:len(m.Layers)], c.History[:len(m.Layers)]
		setConfig(files, m, c)
	})
}

// otherConfig runs another program.
func otherConfig(files map[string][]byte) {
	changed(files, func(m *ocispec.Manifest) {
		var c ocispec.Image
		_ = json.Unmarshal(files[blobFile(m.Config.Digest)], &c)
		c.Config.Cmd = []string{"/bin/evil"}
		setConfig(files, m, c)
	})
}

func setConfig(files map[string][]byte, m *ocispec.Manifest, c ocispec.Image) {
	raw, _ := json.Marshal(c)
	m.Config.Digest, m.Config.Size = digest.FromBytes(raw), int64(len(raw))
	files[blobFile(m.Config.Digest)] = raw
}

// dropProof takes the proof of the source out of a file.
func dropProof(t *testing.T, files map[string][]byte) {
	t.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Error(err)
	}
	kept := index.Manifests[:0]
	for _, d := range index.Manifests {
		if d.Annotations["io.github.strata-oci.origin"] == "" {
			kept = append(kept, d)
		}
	}
	if len(kept) == len(index.Manifests) {
		t.Error("the file proves nothing")
	}
	index.Manifests = kept
	raw, err := json.Marshal(index)
	if err != nil {
		t.Error(err)
	}
	files["index.json"] = raw
}
