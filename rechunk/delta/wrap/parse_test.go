package wrap_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// file is one of testdata: plain, made by the program that its name tells.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

// member is one of an archive.
type member struct {
	name string
	data []byte
}

func cpio(members ...member) []byte {
	var b bytes.Buffer
	pad := func() { b.Write(make([]byte, -b.Len()&3)) }
	for _, m := range append(members, member{"TRAILER!!!", nil}) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1, 0o100644, 0, 0, 1, 0, len(m.data),
			0, 0, 0, 0,
			len(m.name)+1, 0)
		b.WriteString(m.name + "\x00")
		pad()
		b.Write(m.data)
		pad()
	}
	return b.Bytes()
}

func tarball(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.data)), Typeflag: tar.TypeReg})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, method uint16, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bzImage is a kernel's: setup of two sectors, code, and the payload with its size behind it.
func bzImage(payload []byte) []byte {
	b := make([]byte, 3*512+100)
	b[0x1f1] = 2
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(b[0x248:], 100)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)+4)) //nolint:gosec // short
	return append(append(b, payload...), "sizeand more"...)
}

func zboot(payload []byte) []byte {
	b := make([]byte, 4096)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[8:], 4096)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(payload))) //nolint:gosec // short
	return append(append(b, payload...), "reloc"...)
}

// show gives parts as lines: decoder, name, offset and lengths.
func show(parts []wrap.Part, indent string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s%d+%d %s%s %d\n%s", indent, p.Offset, p.Length, p.Decoder, p.Name, p.Size,
			show(p.Parts, indent+"  "))
	}
	return b.String()
}

func parse(t testing.TB, content []byte, lim wrap.Limits) []wrap.Part {
	t.Helper()
	parts, err := wrap.Parse(t.Context(), bytes.NewReader(content), lim, memory{})
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// memory is scratch.
type memory struct{}

func (memory) Create() (wrap.ScratchFile, error) { return &memoryFile{}, nil }

type memoryFile struct{ b []byte }

func (f *memoryFile) Write(p []byte) (int, error) { f.b = append(f.b, p...); return len(p), nil }
func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.b).ReadAt(p, off)
}
func (f *memoryFile) Close() error { return nil }
func (f *memoryFile) Size() int64  { return int64(len(f.b)) }

// check holds parts against the content: each decodes to its size, and they ascend. It returns how many there are.
func check(t *testing.T, content []byte, parts []wrap.Part) int {
	t.Helper()
	n, end := 0, int64(0)
	for _, p := range parts {
		n++
		if p.Offset < end || p.Length <= 0 || p.Offset+p.Length > int64(len(content)) {
			t.Fatalf("%+v does not lie in %d bytes behind %d", p, len(content), end)
		}
		end = p.Offset + p.Length
		plain := content[p.Offset:end]
		if p.Decoder != "" {
			var b bytes.Buffer
			if err := wrap.Decode(t.Context(), p.Decoder, bytes.NewReader(plain), &b, wrap.DefaultLimits()); err != nil {
				t.Fatal(err)
			}
			plain = b.Bytes()
		}
		if int64(len(plain)) != p.Size {
			t.Fatalf("%+v has %d bytes", p, len(plain))
		}
		n += check(t, plain, p.Parts)
	}
	return n
}

func TestParse(t *testing.T) {
	t.Parallel()
	plain := file(t, "plain")
	module, page := file(t, "threads.xz"), gzipped(t, plain)
	microcode := cpio(member{"kernel/x86/microcode/GenuineIntel.bin", plain})
	root := cpio(member{"init", plain}, member{"usr/lib/modules/6.12/a.ko.xz", module}, member{"empty", nil})
	chain := append(append(append([]byte{}, microcode...), make([]byte, -len(microcode)&511)...), gzipped(t, root)...)
	for _, c := range []struct {
		name    string
		content []byte
		want    string
		parts   int
	}{
		{"nothing", nil, "", 0},
		{"plain", plain, "", 0},
		{"a manual page", page, fmt.Sprintf("0+%d gzip 9000\n", len(page)), 1},
		{"xz of one thread", file(t, "single.xz"), fmt.Sprintf("0+%d xz 9000\n", len(file(t, "single.xz"))), 1},
		{"a module", module, fmt.Sprintf("0+%d xz 9000\n", len(module)), 1},
		{"blocks", file(t, "blocks.xz"), fmt.Sprintf("0+%d xz 9000\n", len(file(t, "blocks.xz"))), 1},
		{"a filter", file(t, "x86.xz"), fmt.Sprintf("0+%d xz 9000\n", len(file(t, "x86.xz"))), 1},
		{"nothing in xz", file(t, "empty.xz"), "", 0},
		{"two streams and padding", file(t, "two.xz"),
			fmt.Sprintf("0+%d xz 9000\n%d+%d xz 9000\n", len(module), len(module)+8,
				len(file(t, "single.xz"))), 2},
		{"zstd", zstded(t, plain), fmt.Sprintf("0+%d zstd 9000\n", len(zstded(t, plain))), 1},
		{"zstd that doesn't tell its size", file(t, "untold.zst"),
			fmt.Sprintf("0+%d zstd 9000\n", len(file(t, "untold.zst"))), 1},
		{"skippable frame", append([]byte("\x5a\x2a\x4d\x18\x02\x00\x00\x00xx"), zstded(t, plain)...),
			fmt.Sprintf("10+%d zstd 9000\n", len(zstded(t, plain))), 1},
		{"two members and what follows", append(append(bytes.Clone(page), page...), "tail"...),
			fmt.Sprintf("0+%d gzip 9000\n%[1]d+%[1]d gzip 9000\n", len(page)), 2},
		{"bzip2", file(t, "plain.bz2"), "", 0},
		{"initramfs", chain, fmt.Sprintf("148+9000 kernel/x86/microcode/GenuineIntel.bin 9000\n%d+%d gzip %d\n"+
			"  116+9000 init 9000\n  %d+%d usr/lib/modules/6.12/a.ko.xz %[5]d\n    0+%[5]d xz 9000\n",
			(len(microcode)+511)&^511, len(gzipped(t, root)), len(root), 116+9000+140, len(module)), 5},
		{"tar in zstd", zstded(t, tarball(t, member{"a.gz", page}, member{"b", plain})), fmt.Sprintf("0+%d zstd %d\n"+
			"  512+%d a.gz %[3]d\n    0+%[3]d gzip 9000\n  %d+9000 b 9000\n",
			len(zstded(t, tarball(t, member{"a.gz", page}, member{"b", plain}))),
			len(tarball(t, member{"a.gz", page}, member{"b", plain})),
			len(page), 1024+(len(page)+511)&^511), 4},
		{"zip", zipped(t, zip.Deflate, member{"a", plain}, member{"b", plain}), "", 2},
		{"stored in zip", zipped(t, zip.Store, member{"a.xz", module}),
			fmt.Sprintf("34+%d a.xz %[1]d\n  0+%[1]d xz 9000\n", len(module)), 2},
		{"bzImage", bzImage(zstded(t, plain)), fmt.Sprintf("1636+%d zstd 9000\n", len(zstded(t, plain))), 1},
		{"bzImage of gzip", bzImage(page), fmt.Sprintf("1636+%d gzip 9000\n", len(page)), 1},
		{"EFI zboot", zboot(page), fmt.Sprintf("4096+%d gzip 9000\n", len(page)), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parts := parse(t, c.content, wrap.DefaultLimits())
			if got := show(parts, ""); c.want != "" && got != c.want || c.parts == 0 && got != "" {
				t.Error(cmp.Diff(c.want, got))
			}
			if n := check(t, c.content, parts); n != c.parts {
				t.Errorf("%d parts, not %d:\n%s", n, c.parts, show(parts, ""))
			}
		})
	}
}

// TestParseLimits: what is over a limit is no part.
func TestParseLimits(t *testing.T) {
	t.Parallel()
	plain, small := file(t, "plain"), wrap.DefaultLimits()
	deep := plain
	for range 12 {
		deep = gzipped(t, cpio(member{"x", deep}))
	}
	depth := 0
	for parts := parse(t, deep, small); len(parts) > 0; parts = parts[0].Parts {
		depth++
	}
	if depth != small.Depth {
		t.Errorf("%d levels of %d", depth, small.Depth)
	}
	bomb := gzipped(t, make([]byte, 64<<20))
	small.Ratio = 100
	if parts := parse(t, bomb, small); len(parts) > 0 {
		t.Error("a bomb is a part")
	}
	if parts := parse(t, zstded(t, make([]byte, 64<<20)), small); len(parts) > 0 {
		t.Error("a bomb of zstd is a part")
	}
	small = wrap.DefaultLimits()
	small.Parts = 7
	many := make([]member, 100)
	for i := range many {
		many[i] = member{fmt.Sprint(i), plain}
	}
	for name, content := range map[string][]byte{"cpio": cpio(many...), "tar": tarball(t, many...)} {
		if n := check(t, content, parse(t, content, small)); n != 7 {
			t.Errorf("%s: %d parts", name, n)
		}
	}
	if n := check(t, zipped(t, zip.Deflate, many...), parse(t, zipped(t, zip.Deflate, many...), small)); n != 0 {
		t.Errorf("zip: %d parts", n)
	}
	huge := zipped(t, zip.Store, member{"a", file(t, "threads.xz")})
	// the directory is told to be all of the archive
	binary.LittleEndian.PutUint32(huge[len(huge)-6:], 0)
	binary.LittleEndian.PutUint32(huge[len(huge)-10:], uint32(len(huge)-22+1)) //nolint:gosec // short
	if n := check(t, huge, parse(t, huge, wrap.DefaultLimits())); n != 0 {
		t.Errorf("a directory in the wrong place: %d parts", n)
	}
	small = wrap.DefaultLimits()
	small.Window = 64 << 10
	if parts := parse(t, file(t, "single.xz"), small); len(parts) > 0 {
		t.Error("a dictionary of 8 MiB")
	}
	small = wrap.DefaultLimits()
	small.Plain = 10_000
	if parts := parse(t, bytes.Repeat(gzipped(t, plain), 3), small); len(parts) != 1 {
		t.Errorf("%d parts", len(parts))
	}
}

// TestParseErrors: what can't be read is an error, and the context ends it.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, content := range map[string][]byte{
		"gzip": gzipped(t, file(t, "plain")), "xz": file(t, "threads.xz"), "cpio": cpio(member{"a", make([]byte, 9000)}),
		"zstd": file(t, "untold.zst"), "tar": tarball(t, member{"a", file(t, "threads.xz")}),
	} {
		for from := range int64(len(content)) {
			parts, err := wrap.Parse(t.Context(), breaks{bytes.NewReader(content), from, broken}, wrap.DefaultLimits(), nil)
			if err != nil && !errors.Is(err, broken) {
				t.Fatalf("%s: %v, %v", name, parts, err)
			}
		}
		if _, err := wrap.Parse(t.Context(), breaks{bytes.NewReader(content), 0, broken}, wrap.DefaultLimits(),
			nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// breaks can't be read from an offset on.
type breaks struct {
	*bytes.Reader
	from int64
	err  error
}

func (b breaks) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= b.from {
		return b.Reader.ReadAt(p, off)
	}
	n, _ := io.NewSectionReader(b.Reader, 0, b.from).ReadAt(p, off)
	return n, b.err
}
