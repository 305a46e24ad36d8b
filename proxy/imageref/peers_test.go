package imageref

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// tool returns a function that runs a program, and skips the test where there is none.
func tool(t *testing.T, program string) func(args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs %s", program)
	}
	return func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, out)
		}
	}
}

// ociLayout writes a layout of a random OCI image with the tag v1.
func ociLayout(t *testing.T, dir string) {
	t.Helper()
	img, err := random.Image(5000, 3)
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.MediaType(mutate.ConfigMediaType(img, types.OCIConfigJSON), types.OCIManifestSchema1)
	writeLayout(t, dir, map[string]mutate.Appendable{"v1": img})
}

// sameImages checks that two references hold the same manifest.
func sameImages(t *testing.T, a, b string) {
	t.Helper()
	var digests []string
	for _, s := range []string{a, b} {
		src, err := mustParse(t, s).Open(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, d := src.Manifest()
		digests = append(digests, d.String())
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("%s is %s, %s is %s", a, digests[0], b, digests[1])
	}
}

func TestSkopeo(t *testing.T) {
	t.Parallel()
	skopeo := tool(t, "skopeo")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ociLayout(t, at("start"))

	// What skopeo writes, we read.
	skopeo("--insecure-policy", "copy", "-q", "oci:"+at("start")+":v1", "oci-archive:"+at("theirs.tar")+":v2")
	skopeo("--insecure-policy", "copy", "-q", "oci:"+at("start")+":v1", "oci:"+at("theirs"))
	sameImages(t, "oci:"+at("start"), "oci-archive:"+at("theirs.tar")+":v2")
	copyImage(t, "oci-archive:"+at("theirs.tar"), "oci:"+at("ours")+":docker.io/os/image:v3", Options{})
	copyImage(t, "oci:"+at("theirs"), "oci-archive:"+at("ours.tar")+":v4", Options{})

	// What we write, skopeo reads, and writes into.
	skopeo("--insecure-policy", "copy", "-q", "oci:"+at("ours")+":docker.io/os/image:v3", "oci:"+at("back")+":v5")
	skopeo("--insecure-policy", "copy", "-q", "oci-archive:"+at("ours.tar")+":v4", "oci:"+at("ours")+":v6")
	sameImages(t, "oci:"+at("start"), "oci:"+at("back"))
	sameImages(t, "oci:"+at("start"), "oci:"+at("ours")+":v6")
	sameImages(t, "oci:"+at("start"), "oci:"+at("ours")+":docker.io/os/image:v3")
}

func TestSkopeoWithRegistry(t *testing.T) {
	t.Parallel()
	skopeo := tool(t, "skopeo")
	host, opts := startRegistry(t, nil)
	dir := t.TempDir()
	ociLayout(t, filepath.Join(dir, "start"))
	copyImage(t, "oci:"+filepath.Join(dir, "start"), "docker://"+host+"/os/image:v1", opts)
	skopeo("--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://"+host+"/os/image:v1",
		"oci:"+filepath.Join(dir, "end"))
	sameImages(t, "oci:"+filepath.Join(dir, "start"), "oci:"+filepath.Join(dir, "end"))
}

func TestUmoci(t *testing.T) {
	t.Parallel()
	umoci := tool(t, "umoci")
	dir := filepath.Join(t.TempDir(), "layout")
	umoci("init", "--layout", dir)
	umoci("new", "--image", dir+":v1")
	copyImage(t, "oci:"+dir+":v1", "oci:"+dir+":v2", Options{})
	umoci("config", "--image", dir+":v2", "--tag", "v3", "--config.label", "a=b")
	umoci("gc", "--layout", dir) // finds everything in order
	sameImages(t, "oci:"+dir+":v1", "oci:"+dir+":v2")
	copyImage(t, "oci:"+dir+":v3", "oci-archive:"+dir+".tar", Options{})
	sameImages(t, "oci:"+dir+":v3", "oci-archive:"+dir+".tar")
}
