package imageref

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/legible"
)

func TestArchiveRoundTrip(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), Options{TempDir: t.TempDir()}
	name := filepath.Join(dir, "image.tar")
	one, two := makeImage(t, "shared", "one"), makeImage(t, "shared", "two")
	put(t, "oci-archive:"+name+":v1", one, opts)
	wantImage(t, "oci-archive:"+name, one, opts)
	wantImage(t, "oci-archive:"+name+":v1", one, opts)
	first, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}

	put(t, "oci-archive:"+name+":v2", two, opts) // replaces all of it
	_, err = mustParse(t, "oci-archive:"+name+":v1").Open(t.Context(), opts)
	wantError(t, err, `tag "v1" not found`, "there is v2")

	put(t, "oci-archive:"+name+":v1", one, opts)
	again, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same image gave other bytes (%v)", err)
	}
	wantNames(t, dir, "image.tar")
	wantNames(t, opts.TempDir)
}

func TestGzippedArchive(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), Options{TempDir: t.TempDir()}
	name, img := filepath.Join(dir, "image.tar"), makeImage(t, "layer")
	put(t, "oci-archive:"+name, img, opts)
	plain, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(name+".gz", b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(packed.Bytes())
	wantImage(t, "oci-archive:"+name+".gz", img, opts)
	_, err = openPlainTar(t.Context(), name+".gz", opts.TempDir, int64(len(plain)-1))
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("bomb: %v", err)
	}
	write(packed.Bytes()[:packed.Len()/2])
	_, err = mustParse(t, "oci-archive:"+name+".gz").Open(t.Context(), opts)
	wantError(t, err, "unpack gzip", "unexpected EOF")
	wantNames(t, opts.TempDir)
}

func TestUnfinishedArchive(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), Options{TempDir: t.TempDir()}
	name, img := filepath.Join(dir, "image.tar"), makeImage(t, "layer")
	put(t, "oci-archive:"+name, img, opts)
	d, err := mustParse(t, "oci-archive:"+name).Create(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{Digest: digest.FromString("x"), Size: 1}
	if err := d.PutBlob(t.Context(), desc, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	wantImage(t, "oci-archive:"+name, img, opts)

	ctx, cancel := context.WithCancel(t.Context())
	if d, err = mustParse(t, "oci-archive:"+name).Create(ctx, opts); err != nil {
		t.Fatal(err)
	}
	for dgst, content := range img.blobs {
		desc := ocispec.Descriptor{Digest: dgst, Size: int64(len(content))}
		if err := d.PutBlob(t.Context(), desc, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.PutManifest(t.Context(), img.mediaType, img.manifest); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := d.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("close after the context's end: %v", err)
	}
	wantNames(t, dir, "image.tar")
	wantNames(t, opts.TempDir)

	_, err = mustParse(t, "oci-archive:"+dir).Create(t.Context(), opts)
	wantError(t, err, "not a regular file")
	_, err = mustParse(t, "oci-archive:"+filepath.Join(dir, "no", "x.tar")).Create(t.Context(), opts)
	wantError(t, err, "no such file")
	_, err = mustParse(t, "oci-archive:"+dir).Open(t.Context(), opts)
	wantError(t, err, "not a regular file")
}

// tarEntry is a file for makeTar.
type tarEntry struct {
	hdr     tar.Header
	content string
}

func file(name, content string) tarEntry {
	return tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func makeTar(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, e := range entries {
		if err := tw.WriteHeader(&e.hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// layoutEntries are the files of a layout with one image.
func layoutEntries(t testing.TB, img testImage) []tarEntry {
	t.Helper()
	entries := []tarEntry{
		file("./oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
		file("index.json", string(indexOf(t, entry(img.digest(), len(img.manifest), "")))),
		file(blobName(img.digest()), string(img.manifest)),
	}
	for d, content := range img.blobs {
		entries = append(entries, file(blobName(d), string(content)))
	}
	return entries
}

func TestForeignArchives(t *testing.T) {
	t.Parallel()
	img := makeImage(t, "layer")
	good := layoutEntries(t, img)
	global := tarEntry{hdr: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax",
		PAXRecords: map[string]string{"comment": "x"}}}
	dir := tarEntry{hdr: tar.Header{Typeflag: tar.TypeDir, Name: "./blobs/sha256/", Mode: 0o755}}
	link := func(flag byte, name, target string) tarEntry {
		return tarEntry{hdr: tar.Header{Typeflag: flag, Name: name, Linkname: target}}
	}
	tests := []struct {
		name string
		raw  []byte
		err  string
	}{
		{"dot-slash names", makeTar(t, good...), ""},
		{"others' files", makeTar(t, append([]tarEntry{global, dir, file("manifest.json", "[]"), file("blobs/sha256/x", "")},
			good...)...), ""},
		{"the last of equal names", makeTar(t, append([]tarEntry{file("index.json", "{}")}, good...)...), ""},
		{"parent", makeTar(t, append(good, file("../evil", "x"))...), "leads out of the archive"},
		{"hidden parent", makeTar(t, append(good, file("blobs/../../evil", "x"))...), "leads out of the archive"},
		{"absolute", makeTar(t, append(good, file("/etc/cron.d/evil", "x"))...), "leads out of the archive"},
		{"symlink", makeTar(t, link(tar.TypeSymlink, "index.json", "/etc/shadow")), "neither a file nor a directory"},
		{"hardlink", makeTar(t, link(tar.TypeLink, "index.json", "oci-layout")), "neither a file nor a directory"},
		{"fifo", makeTar(t, link(tar.TypeFifo, "x", "")), "neither a file nor a directory"},
		{"device", makeTar(t, link(tar.TypeChar, "x", "")), "neither a file nor a directory"},
		{"empty", makeTar(t), "archive is empty"},
		{"no bytes", nil, "archive is empty"},
		{"no layout", makeTar(t, file("x", "y")), "not an OCI image layout"},
		{"no tar", bytes.Repeat([]byte("no tar "), 1000), "not a tar archive"},
		{"cut short", makeTar(t, good...)[:1500], "not a tar archive, or a damaged one"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(name, tc.raw, 0o600); err != nil {
				t.Fatal(err)
			}
			if tc.err == "" {
				wantImage(t, "oci-archive:"+name, img, Options{})
				return
			}
			_, err := mustParse(t, "oci-archive:"+name).Open(t.Context(), Options{})
			wantError(t, err, tc.err)
		})
	}
}

func FuzzArchive(f *testing.F) {
	img := makeImage(f, "layer")
	f.Add(makeTar(f, layoutEntries(f, img)...))
	f.Add(makeTar(f, tarEntry{hdr: tar.Header{Typeflag: tar.TypeSymlink, Name: "index.json", Linkname: "/x"}}))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	name := filepath.Join(f.TempDir(), "a.tar")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := mustParse(t, "oci-archive:"+name).Open(t.Context(), Options{TempDir: filepath.Dir(name)})
		if err != nil {
			if !legible.Plain(err.Error()) {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if _, raw, d := src.Manifest(); digest.FromBytes(raw) != d {
			t.Errorf("manifest %q is not %s", raw, d)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A FIFO that nobody writes to is no archive, and is not waited for; "-" is none, either.
func TestArchiveIsNoPipe(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := Parse("oci-archive:" + fifo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ref.Open(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	for _, text := range []string{"oci-archive:-", "oci-archive:-:1", "oci:-"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "name a file") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
