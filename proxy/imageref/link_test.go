package imageref

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/strata-oci/strata/proxy/verify"
)

func TestLinkBlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := mustParse(t, "oci:"+dir).Create(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{Digest: digest.FromString("abc"), Size: 3}
	place := filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())
	file := func(name, content string) *os.File {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	link := func(f *os.File) (bool, error) { return d.(Linker).LinkBlob(t.Context(), desc, f) }

	if done, err := link(file("short", "ab")); done || !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("another size: %t, %v", done, err)
	}
	gone := file("gone", "abc")
	if err := os.Remove(gone.Name()); err != nil {
		t.Fatal(err)
	}
	if done, err := link(gone); done || err != nil {
		t.Errorf("a file without a name: %t, %v", done, err)
	}
	other := file("other", "abc")
	if err := os.Rename(file("new", "xyz").Name(), other.Name()); err != nil {
		t.Fatal(err)
	}
	if done, err := link(other); done || err == nil {
		t.Errorf("a file under another's name: %t, %v", done, err)
	}
	wantNames(t, filepath.Join(dir, "blobs", "sha256"))

	labelled := file("labelled", "abc")
	if err := unix.Lsetxattr(labelled.Name(), "security.selinux", []byte("system_u:object_r:tmp_t:s0"), 0); err == nil {
		if done, err := link(labelled); done || err != nil {
			t.Errorf("a file with another label: %t, %v", done, err)
		}
	}

	// What is there is damaged.
	if err := os.WriteFile(place, []byte("xyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	right := file("right", "abc")
	if done, err := link(right); !done || err != nil {
		t.Fatalf("%t, %v", done, err)
	}
	want, err := right.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(place)
	if err != nil || !os.SameFile(want, got) {
		t.Errorf("the blob is another file (%v)", err)
	}
	if done, err := link(file("again", "abc")); !done || err != nil {
		t.Errorf("a blob that is there: %t, %v", done, err)
	}
	wantNames(t, dir, "blobs", "index.json", "oci-layout")

	r, err := mustParse(t, "docker://127.0.0.1:1/x:1").Create(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := r.(Linker).LinkBlob(t.Context(), desc, right); done || err != nil {
		t.Errorf("to a registry: %t, %v", done, err)
	}
}
