package layer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// tellable is what a table of contents can tell of the gallery.
func tellable() (*tree.Tree, Contents) {
	full, contents := gallery()
	full.Entries = slices.DeleteFunc(full.Entries, func(e tree.Entry) bool {
		special := e.Kind == tree.Char || e.Kind == tree.Block || e.Kind == tree.Fifo
		return !utf8.ValidString(e.Path) || e.Sec > 1<<38 || special
	})
	return full, contents
}

// told is a table as clients read it.
type told struct {
	Entries []struct {
		Type, Name, Digest, ChunkDigest, ChunkType      string
		Size, Offset, EndOffset, ChunkSize, ChunkOffset int64
	}
	TarSplitDigest string
}

// tableOf reads the table of a layer as clients do.
func tableOf(tb testing.TB, b []byte, blob layer.Blob) told {
	tb.Helper()
	p, err := toc.Find(blob.Annotations)
	if err != nil {
		tb.Fatal(err)
	}
	plain := frames(tb, b[p.Table.Offset:p.Table.Offset+p.Table.Size])
	var out told
	if err := json.Unmarshal(plain, &out); err != nil || int64(len(plain)) != p.Table.Plain {
		tb.Fatal(len(plain), err)
	}
	return out
}

// frames unpacks frames.
func frames(tb testing.TB, b []byte) []byte {
	tb.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return plain
}

// Every file stands in frames of its own, at the place that the table says, in pieces with digests.
func TestChunkedPlaces(t *testing.T) {
	t.Parallel()
	full, contents := tellable()
	body := noise(1<<20) + strings.Repeat("\x00", 1<<16) + text(1<<20)
	full.Entries = append(full.Entries, tree.Entry{Path: "x-large", Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)),
		Digest: contents.Add(body)})
	b, blob := write(t, full, all(full), contents, layer.Chunked)
	table := tableOf(t, b, blob)
	if !strings.HasPrefix(table.TarSplitDigest, "sha256:") {
		t.Errorf("tar-split has the digest %q", table.TarSplitDigest)
	}
	pieces := 0
	for _, e := range table.Entries {
		if e.Type != "reg" && e.Type != "chunk" || e.Type == "reg" && e.Size == 0 {
			continue
		}
		end := e.EndOffset
		if e.ChunkSize > 0 {
			pieces++
			end = int64(len(b))
		}
		z, err := zstd.NewReader(bytes.NewReader(b[e.Offset:end]), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		size, want := e.Size, e.Digest
		if e.ChunkSize > 0 {
			size, want = e.ChunkSize, e.ChunkDigest
		}
		got := make([]byte, size)
		_, err = io.ReadFull(z, got)
		z.Close()
		if sum := "sha256:" + contents.Add(string(got)).String(); err != nil || sum != want {
			t.Errorf("%s %s: %s, want %s, %v", e.Type, e.Name, sum, want, err)
		}
	}
	if pieces < 10 {
		t.Errorf("%d pieces of a large file", pieces)
	}
}

// What is new to clients stands together at a layer's end, and hardlinks with their file.
func TestPutLast(t *testing.T) {
	t.Parallel()
	full, contents := tellable()
	list, err := layer.NewList(full, all(full).Entries, []string{"gone"}, contents)
	if err != nil {
		t.Fatal(err)
	}
	fresh := map[tree.Digest]bool{contents.Add("shared"): true, contents.Add("dash"): true}
	list.PutLast(func(d tree.Digest) bool { return fresh[d] })
	var b bytes.Buffer
	blob, err := layer.Write(t.Context(), &b, list, layer.Chunked)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range tableOf(t, b.Bytes(), blob).Entries {
		names = append(names, e.Name)
	}
	if got := names[len(names)-4:]; !slices.Equal(got, []string{"-", "d/link-a", "d/link-b", "d/z/link"}) {
		t.Errorf("last are %q", got)
	}
	x, _, err := layer.Read(t.Context(), &b, blob, layer.Chunked, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full.Entries, x.Entries); diff != "" || !slices.Equal(x.Whiteouts, []string{"gone"}) {
		t.Errorf("whiteouts %q, -want +got\n%s", x.Whiteouts, diff)
	}
}

// What JSON cannot tell, or clients do not make of it, is written as zstd, and says so.
func TestUntellable(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]tree.Entry{
		"name":      {Path: "\xff", Kind: tree.Regular, Mode: 0o600},
		"target":    {Path: "x", Kind: tree.Symlink, Mode: 0o777, Target: "\xff"},
		"late":      {Path: "x", Kind: tree.Regular, Mode: 0o600, Sec: 1 << 40},
		"early":     {Path: "x", Kind: tree.Regular, Mode: 0o600, Sec: -1 << 40},
		"FIFO":      {Path: "x", Kind: tree.Fifo, Mode: 0o600},
		"device":    {Path: "x", Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3},
		"attribute": {Path: "x", Kind: tree.Dir, Mode: 0o700, Xattrs: []tree.Xattr{{Name: "user.\xff"}}},
	} {
		full := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}, e}}
		want, _ := write(t, full, all(full), nil, layer.Zstd)
		got, blob := write(t, full, all(full), nil, layer.Chunked)
		if !bytes.Equal(got, want) || blob.Annotations != nil || blob.Encoder == nil ||
			*blob.Encoder != layer.Zstd.Spec().Encoder {
			t.Errorf("%s: %+v", name, blob)
		}
	}
	full := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}}}
	l := all(full)
	l.Whiteouts = []string{"\xfe"}
	if _, blob := write(t, full, l, nil, layer.Chunked); blob.Encoder == nil {
		t.Error("whiteout: with a table")
	}
}

// A table that says something else than the tar stream is not taken for it.
func TestReadChecksTable(t *testing.T) {
	t.Parallel()
	full, contents := tellable()
	b, blob := write(t, full, all(full), contents, layer.Chunked)
	other := *full
	other.Entries = slices.Clone(full.Entries)
	i, _ := other.Find("-")
	other.Entries[i].Mode = 0o600
	foreign, _ := write(t, &other, all(&other), contents, layer.Chunked)
	p, err := toc.Find(blob.Annotations)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Concat(b[:p.Table.Offset], foreign[p.Table.Offset:p.Table.Offset+p.Table.Size],
		b[p.Table.Offset+p.Table.Size:])
	for name, spoil := range map[string]func(a map[string]string){
		"digest":   func(a map[string]string) { a[toc.AnnotationChecksum] = "sha256:" + strings.Repeat("0", 64) },
		"place":    func(a map[string]string) { a[toc.AnnotationPosition] = "1:2:3:1" },
		"behind":   func(a map[string]string) { a[toc.AnnotationPosition] = "9999999:20:30:1" },
		"too long": func(a map[string]string) { a[toc.AnnotationPosition] = fmt.Sprintf("1:2:%d:1", toc.Longest+1) },
		"nonsense": func(a map[string]string) { a[toc.AnnotationPosition] = "x" },
	} {
		want := blob
		want.Annotations = map[string]string{}
		for k, v := range blob.Annotations {
			want.Annotations[k] = v
		}
		spoil(want.Annotations)
		if _, _, err := layer.Read(t.Context(), bytes.NewReader(b), want, layer.Chunked, tree.Limits{}); !errors.Is(err,
			layer.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := layer.Read(t.Context(), bytes.NewReader(bad), blob, layer.Chunked, tree.Limits{}); err == nil {
		t.Error("the table of another layer was taken")
	}
}

// One frame per layer is what zstd promises, so that layers with a table are not kept in its images; the reverse is fine.
func TestKeeps(t *testing.T) {
	t.Parallel()
	full, contents := tellable()
	_, chunked := write(t, full, all(full), contents, layer.Chunked)
	for _, c := range []struct {
		images, layer layer.Format
		annotations   map[string]string
		want          bool
	}{
		{layer.Zstd, layer.Zstd, nil, true}, {layer.Zstd, layer.Chunked, chunked.Annotations, false},
		{layer.Zstd, layer.Gzip, nil, false}, {layer.Gzip, layer.Gzip, nil, true}, {layer.Gzip, layer.Zstd, nil, false},
		{layer.Chunked, layer.Zstd, nil, true}, {layer.Chunked, layer.Chunked, chunked.Annotations, true},
		{layer.Chunked, layer.Gzip, nil, false},
	} {
		if got := c.images.Keeps(c.layer.Spec().MediaType, c.annotations); got != c.want {
			t.Errorf("images of %v keep layers of %v: %t", c.images, c.layer, got)
		}
	}
}

// The versions in the encoder's name are those that are compiled in.
func TestChunkedEncoder(t *testing.T) {
	t.Parallel()
	got := layer.Chunked.Spec().Encoder.Version
	for module, before := range map[string]string{
		"go.podman.io/storage": "", "github.com/klauspost/compress": "compress-",
		"github.com/vbatts/tar-split": "tar-split-",
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			t.Skipf("no module list: %v", err)
		}
		if want := before + strings.TrimSpace(string(out)); !slices.Contains(strings.Split(got, "+"), want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

// Whatever the stream, there is a blob that reads as that stream, or an error.
func FuzzCompressChunked(f *testing.F) {
	f.Add(Tar(f, Dir("."), File("a", strings.Repeat("a", 3000))))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var b bytes.Buffer
		if _, err := layer.Compress(t.Context(), &b, bytes.NewReader(stream), layer.Chunked); err != nil {
			return
		}
		if got := frames(t, b.Bytes()); !bytes.Equal(got, stream) {
			t.Errorf("%d bytes of %d come back", len(got), len(stream))
		}
	})
}
