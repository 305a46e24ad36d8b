package scan_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func scanned(t testing.TB, r io.Reader, lim tree.Limits) (*scan.Result, error) {
	t.Helper()
	return scan.Layer(t.Context(), r, scan.Options{Limits: lim})
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	xattr := strings.Repeat("v", 1000)
	deep := strings.Repeat("d/", 300)
	// Each link doubles the number of steps to walk.
	var steps []Item
	for i := range 30 {
		next := fmt.Sprintf("l%d", i+1)
		steps = append(steps, Symlink(fmt.Sprintf("l%d", i), strings.Repeat("./", 1000)+next))
	}
	for i := range 10 {
		steps = append(steps, File(fmt.Sprintf("l0/d%d/f", i), ""))
	}
	tests := map[string]struct {
		items []Item
		lim   tree.Limits
		want  error
	}{
		"..":                      {items: []Item{File("a/../../b", "")}, want: tree.ErrInvalid},
		".. alone":                {items: []Item{Dir("..")}, want: tree.ErrInvalid},
		"hardlink to ..":          {items: []Item{Hardlink("a", "../etc/passwd")}, want: tree.ErrInvalid},
		"whiteout of nothing":     {items: []Item{File("a/.wh.", "")}, want: tree.ErrInvalid},
		"whiteout of .":           {items: []Item{File("a/.wh..", "")}, want: tree.ErrInvalid},
		"whiteout of ..":          {items: []Item{File("a/.wh...", "")}, want: tree.ErrInvalid},
		"below a whiteout":        {items: []Item{File("a/.wh.b/c", "")}, want: tree.ErrInvalid},
		"below a linked whiteout": {items: []Item{Symlink("s", ".wh.b"), File("s/c", "")}, want: tree.ErrInvalid},
		"below a file":            {items: []Item{File("a", ""), File("a/b", "")}, want: tree.ErrInvalid},
		"below a link":            {items: []Item{Hardlink("a", "x"), File("a/b", "")}, want: tree.ErrInvalid},
		"root is a file":          {items: []Item{File(".", "")}, want: tree.ErrInvalid},
		"root is a link":          {items: []Item{File("a", ""), Hardlink(".", "a")}, want: tree.ErrInvalid},
		"symlink to nothing":      {items: []Item{Symlink("a", "")}, want: tree.ErrInvalid},
		"symlink loop": {items: []Item{Symlink("a", "b"), Symlink("b", "a"), File("a/x", "")},
			want: tree.ErrInvalid},
		"link to a directory":  {items: []Item{Dir("a"), Hardlink("b", "a")}, want: tree.ErrInvalid},
		"link over its target": {items: []Item{File("a/b", ""), Hardlink("a", "a/b")}, want: tree.ErrInvalid},
		"unknown type":         {items: []Item{{Header: tar.Header{Typeflag: 'Z', Name: "a"}}}, want: tree.ErrInvalid},
		"negative owner":       {items: []Item{GNU(File("a", "").WithOwner(-1, 0))}, want: tree.ErrInvalid},
		"huge owner":           {items: []Item{File("a", "").WithOwner(0, 1<<32)}, want: tree.ErrInvalid},
		"negative device":      {items: []Item{GNU(Char("a", -1, 0))}, want: tree.ErrInvalid},
		"damaged attribute": {items: []Item{File("a", "").WithPAX("LIBARCHIVE.xattr.user.x", "?")},
			want: tree.ErrInvalid},
		"damaged attribute name": {items: []Item{File("a", "").WithPAX("LIBARCHIVE.xattr.user.%zz", "")},
			want: tree.ErrInvalid},
		"attribute name with NUL": {items: []Item{File("a", "").WithPAX("LIBARCHIVE.xattr.user.%00", "")},
			want: tree.ErrInvalid},
		"attribute without a name": {items: []Item{File("a", "").WithXattr("", "x")}, want: tree.ErrInvalid},

		"too many headers": {[]Item{File("a", ""), File("a", ""), File("a", "")}, tree.Limits{Entries: 2}, tree.ErrLimit},
		"too many parents": {[]Item{File("a/b/c/d", "")}, tree.Limits{Entries: 3}, tree.ErrLimit},
		"too much metadata": {[]Item{File("a", "").WithXattr("user.a", xattr), File("b", "").WithXattr("user.a", xattr)},
			tree.Limits{MetaBytes: 1500}, tree.ErrLimit},
		"too much through links": {[]Item{Symlink("s", strings.Repeat("d", 90)), File("s/a", ""), File("s/b", ""),
			File("s/c", "")},
			tree.Limits{MetaBytes: 300}, tree.ErrLimit},
		"too deep":               {[]Item{File(deep+"f", "")}, tree.Limits{}, tree.ErrLimit},
		"too deep through links": {[]Item{Symlink("s", "a/b/c"), File("s/d/e", "")}, tree.Limits{Depth: 4}, tree.ErrLimit},
		"too long":               {[]Item{File(strings.Repeat("n", 5000), "")}, tree.Limits{}, tree.ErrLimit},
		"too long target":        {[]Item{Symlink("a", strings.Repeat("n", 5000))}, tree.Limits{}, tree.ErrLimit},
		"too long through links": {[]Item{Symlink("s", "dddddddd"), File("s/xxxxxxx", "")}, tree.Limits{Path: 15},
			tree.ErrLimit},
		"too many steps": {steps, tree.Limits{Entries: 100}, tree.ErrLimit},
		"too large": {[]Item{File("a", strings.Repeat("x", 3000))}, tree.Limits{LayerBytes: 4000},
			tree.ErrLimit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := scanned(t, bytes.NewReader(Tar(t, tt.items...)), tt.lim)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestScanRefusesBytes has blobs that no tar writer makes.
func TestScanRefusesBytes(t *testing.T) {
	t.Parallel()
	window, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	var windowed bytes.Buffer
	window.Reset(&windowed)
	for range 64 {
		_, _ = window.Write(make([]byte, 1<<20))
	}
	_ = window.Close()
	huge := Tar(t, GNU(File("a", "xyz")))
	header := tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 40, Format: tar.FormatGNU}
	var truncated bytes.Buffer
	_ = tar.NewWriter(&truncated).WriteHeader(&header)
	tests := map[string]struct {
		blob []byte
		lim  tree.Limits
		want error
	}{
		"empty":          {nil, tree.Limits{}, nil},
		"xz":             {[]byte("\xfd7zXZ\x00 and so on"), tree.Limits{}, tree.ErrInvalid},
		"bzip2":          {[]byte("BZh91AY&SY"), tree.Limits{}, tree.ErrInvalid},
		"text":           {[]byte(strings.Repeat("hello world ", 100)), tree.Limits{}, tree.ErrInvalid},
		"short":          {[]byte("abc"), tree.Limits{}, tree.ErrInvalid},
		"gzip of text":   {Gzip(t, []byte(strings.Repeat("hello world ", 100))), tree.Limits{}, tree.ErrInvalid},
		"gzip and junk":  {append(Gzip(t, huge), "junk"...), tree.Limits{}, tree.ErrInvalid},
		"zstd and junk":  {append(Zstd(t, huge), "junk"...), tree.Limits{}, tree.ErrInvalid},
		"zstd window":    {windowed.Bytes(), tree.Limits{Window: 8 << 20}, tree.ErrLimit},
		"size in header": {truncated.Bytes(), tree.Limits{}, tree.ErrLimit},
		"missing body":   {truncated.Bytes(), tree.Limits{LayerBytes: 1 << 50}, tree.ErrInvalid},
		"gzip bomb":      {Gzip(t, make([]byte, 64<<20)), tree.Limits{LayerBytes: 1 << 20}, tree.ErrLimit},
		"zstd bomb":      {Zstd(t, make([]byte, 64<<20)), tree.Limits{LayerBytes: 1 << 20}, tree.ErrLimit},
		"one byte more":  {huge, tree.Limits{LayerBytes: int64(len(huge)) - 1}, tree.ErrLimit},
		"just fits":      {huge, tree.Limits{LayerBytes: int64(len(huge))}, nil},
		"sparse bomb":    {Gzip(t, sparseBomb(t, 4, 1<<40)), tree.Limits{LayerBytes: 2 << 40}, tree.ErrLimit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "sparse bomb" {
				tt.lim.LayerBytes = 1 << 20
			}
			if _, err := scanned(t, bytes.NewReader(tt.blob), tt.lim); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// sparseBomb has n files of nothing but a hole. archive/tar doesn't write sparse files, hence the header block is patched.
func sparseBomb(t testing.TB, n int, size int64) []byte {
	t.Helper()
	var out []byte
	for i := range n {
		b := Tar(t, GNU(File(fmt.Sprint(i), "")))[:512]
		b[156] = tar.TypeGNUSparse
		b[483] = 0x80 // the real size, as a base-256 number
		for j := range 8 {
			b[494-j] = byte(size >> (8 * j))
		}
		copy(b[148:156], "        ")
		sum := 0
		for _, c := range b {
			sum += int(c)
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
		out = append(out, b...)
	}
	return append(out, make([]byte, 1024)...)
}

// Files of a hundred bytes that claim gigabytes of zeros take next to nothing, and what is spooled has a bound.
func TestScanSparseBomb(t *testing.T) {
	t.Parallel()
	spool := newSpool(t)
	blob := Gzip(t, sparseBomb(t, 2, 1<<29))
	got, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Spool: spool})
	if err != nil || got.Index.Entries[0].Size != 1<<29 {
		t.Fatal(err)
	}
	if n := spool.Size(); n > 1<<20 {
		t.Errorf("%d bytes spooled of a layer of %d", n, len(blob))
	}
	small, err := scan.NewSpool(t.TempDir(), workspace.New(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	_, err = scan.Layer(t.Context(), bytes.NewReader(Tar(t, File("a", strings.Repeat("x", 3<<20)))),
		scan.Options{Spool: small})
	if !errors.Is(err, scan.ErrSpoolFull) {
		t.Errorf("got %v, want ErrSpoolFull", err)
	}
}

func TestScanTruncated(t *testing.T) {
	t.Parallel()
	items := []Item{Dir("d"), File("d/a", strings.Repeat("x", 700)), Symlink("s", "d"),
		File("b", "y").WithXattr("user.x", "1")}
	raw := Tar(t, items...)
	whole := Index(t, items...)
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'a', 'b'}
	blobs := map[string][]byte{
		"gzip": Gzip(t, raw),
		"zstd": Zstd(t, raw),
		"tar":  raw,
	}
	for name, blob := range blobs {
		step := 1
		if name == "tar" {
			step = 64
		}
		for n := 0; n < len(blob); n += step {
			got, err := scanned(t, bytes.NewReader(blob[:n]), tree.Limits{})
			switch {
			case err != nil && !errors.Is(err, tree.ErrInvalid):
				t.Errorf("%s cut at %d: %v", name, n, err)
			case err == nil && name != "tar" && n > 0: // no bytes are an empty layer
				t.Errorf("%s cut at %d is accepted", name, n)
			case err == nil && len(got.Index.Entries) > len(whole.Entries):
				t.Errorf("%s cut at %d: %v", name, n, got.Index.Entries)
			}
			if n%5 != 0 {
				continue
			}
			// A source that breaks is told from one that ends, whatever it breaks with.
			for _, fault := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, fmt.Errorf("wrapped: %w", io.EOF)} {
				r := io.MultiReader(bytes.NewReader(blob[:n]), iotest.ErrReader(fault))
				if _, err := scanned(t, r, tree.Limits{}); err != fault && n < len(blob)-1024 {
					t.Fatalf("%s broken at %d with %v: %v", name, n, fault, err)
				}
			}
		}
	}
	blob := append(Zstd(t, raw), skippable...)
	for n := len(blob) - len(skippable) + 1; n < len(blob); n++ {
		if _, err := scanned(t, bytes.NewReader(blob[:n]), tree.Limits{}); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("skippable frame cut at %d: %v", n, err)
		}
	}
}

// TestScanSourceFailsAtEnd has sources that report a wrong digest when all bytes are read.
func TestScanSourceFailsAtEnd(t *testing.T) {
	t.Parallel()
	raw := Tar(t, File("a", "x"))
	for name, blob := range map[string][]byte{"gzip": Gzip(t, raw), "zstd": Zstd(t, raw), "tar": raw} {
		for _, fault := range []error{errors.New("wrong digest"), io.ErrUnexpectedEOF} {
			r := io.MultiReader(bytes.NewReader(blob), iotest.ErrReader(fault))
			if _, err := scanned(t, r, tree.Limits{}); err != fault {
				t.Errorf("%s: got %v, want %v", name, err, fault)
			}
			r = iotest.DataErrReader(io.MultiReader(bytes.NewReader(blob), iotest.ErrReader(fault)))
			if _, err := scanned(t, r, tree.Limits{}); err != fault {
				t.Errorf("%s, error with data: got %v, want %v", name, err, fault)
			}
		}
		if _, err := scanned(t, iotest.OneByteReader(bytes.NewReader(blob)), tree.Limits{}); err != nil {
			t.Errorf("%s, byte by byte: %v", name, err)
		}
	}
}

// TestScanSourceFailsBesideTheLayer has bytes that are no layer from a source that knows that they are not what they should
// be: its word counts, as soon as it was said.
func TestScanSourceFailsBesideTheLayer(t *testing.T) {
	t.Parallel()
	fault := errors.New("wrong digest")
	rotten := bytes.Repeat([]byte("no tar"), 500)
	for name, blob := range map[string][]byte{"gzip": Gzip(t, rotten), "zstd": Zstd(t, rotten), "tar": rotten} {
		r := iotest.DataErrReader(io.MultiReader(bytes.NewReader(blob), iotest.ErrReader(fault)))
		if _, err := scanned(t, r, tree.Limits{}); err != fault {
			t.Errorf("%s: got %v, want %v", name, err, fault)
		}
	}
}

// TestScanStopsEarly has errors at the start of a layer that is much longer than what is read ahead.
func TestScanStopsEarly(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 8<<20)
	blob := Tar(t, File("..", ""), File("a", body))
	for _, b := range [][]byte{blob, Gzip(t, blob), Zstd(t, blob)} {
		if _, err := scanned(t, bytes.NewReader(b), tree.Limits{}); !errors.Is(err, tree.ErrInvalid) {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	endless := io.MultiReader(bytes.NewReader(Tar(t, File("a", body))[:9000]), &cancelling{cancel: func() { cancel(cause) }})
	if _, err := scan.Layer(ctx, endless, scan.Options{}); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
}

// cancelling is an endless source that calls cancel after a while.
type cancelling struct {
	n      int
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.n++; c.n == 20 {
		c.cancel()
	}
	return min(len(p), 1<<10), nil
}
