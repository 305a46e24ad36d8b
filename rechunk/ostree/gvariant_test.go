package ostree

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
)

// serialise encodes attributes as GVariant does, to have large ones to parse.
func serialise(attrs []tree.Xattr) []byte {
	var elements [][]byte
	for _, a := range attrs {
		elements = append(elements, container([][]byte{append([]byte(a.Name), 0), []byte(a.Value)}, 1))
	}
	if len(elements) == 0 {
		return nil
	}
	return container(elements, len(elements))
}

// container joins elements and appends the end offsets of the first n: in reverse order for a tuple, which has one here.
func container(elements [][]byte, n int) []byte {
	body := slices.Concat(elements...)
	for _, width := range []int{1, 2, 4} {
		if total := len(body) + n*width; gvariantWidth(total) == width {
			end, out := 0, slices.Clone(body)
			for _, e := range elements[:n] {
				end += len(e)
				out = append(out, []byte{byte(end), byte(end >> 8), byte(end >> 16), byte(end >> 24)}[:width]...)
			}
			return out
		}
	}
	panic("too large")
}

func TestGVariantXattrs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attrs []tree.Xattr
		bytes string // when it is short enough to write down
	}{
		"none":       {nil, ""},
		"one":        {[]tree.Xattr{{Name: "user.a", Value: "xy"}}, "user.a\x00xy\x07\x0a"},
		"two":        {[]tree.Xattr{{Name: "a", Value: "\x00"}, {Name: "b", Value: ""}}, "a\x00\x00\x02b\x00\x02\x04\x07"},
		"two bytes":  {[]tree.Xattr{{Name: "user.a", Value: strings.Repeat("x", 300)}, {Name: "user.b", Value: "1"}}, ""},
		"four bytes": {[]tree.Xattr{{Name: "user.a", Value: strings.Repeat("x", 70000)}, {Name: "user.b", Value: "1"}}, ""},
		"edge of 1":  {[]tree.Xattr{{Name: "a", Value: strings.Repeat("x", 251)}}, ""},
		"edge of 2":  {[]tree.Xattr{{Name: "a", Value: strings.Repeat("x", 252)}}, ""},
		"edge of 3":  {[]tree.Xattr{{Name: "a", Value: strings.Repeat("x", 253)}}, ""},
		"edge of 4":  {[]tree.Xattr{{Name: "a", Value: strings.Repeat("x", 65535-6)}}, ""},
		"edge of 5":  {[]tree.Xattr{{Name: "a", Value: strings.Repeat("x", 65535-5)}}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := serialise(tt.attrs)
			if tt.bytes != "" && string(b) != tt.bytes {
				t.Fatalf("serialised %q, want %q", b, tt.bytes)
			}
			got, err := parseGVariantXattrs(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.attrs, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestGVariantXattrsRefuses(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{
		"offset table beyond the end": "\x05",
		"element beyond the table":    "a\x00\x00\x02\x09\x04",
		"empty element":               "\x00",
		"name without NUL":            "abx\x02\x04",
		"name with NUL inside":        "a\x00b\x00x\x04\x06",
		"empty name":                  "\x00x\x01\x03",
		"name beyond the element":     "a\x00x\x09\x04",
		"twice":                       "a\x00\x02a\x00\x02\x03\x06",
		"elements overlap":            "a\x00x\x02b\x00x\x02\x08\x04\x08",
	} {
		if got, err := parseGVariantXattrs([]byte(b)); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestGVariantXattrsOfOstree parses what ostree itself wrote: a directory's metadata object is (uuua(ayay)), so that its
// attributes are all but the first twelve bytes.
func TestGVariantXattrsOfOstree(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ostree"); err != nil {
		t.Skip("there is no ostree")
	}
	if _, err := exec.LookPath("setfattr"); err != nil {
		t.Skip("there is no setfattr")
	}
	dir := t.TempDir()
	repo, files := filepath.Join(dir, "repo"), filepath.Join(dir, "files")
	want := []tree.Xattr{{Name: "user.large", Value: strings.Repeat("z", 400)}, {Name: "user.one", Value: "1"}}
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", args, err, out)
		}
	}
	for _, x := range want {
		run("setfattr", "-n", x.Name, "-v", x.Value, files)
	}
	run("ostree", "--repo="+repo, "init", "--mode=archive")
	run("ostree", "--repo="+repo, "commit", "-b", "test", "--tree=dir="+files)
	objects, err := filepath.Glob(filepath.Join(repo, "objects/*/*.dirmeta"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("objects %v, %v", objects, err)
	}
	b, err := os.ReadFile(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseGVariantXattrs(b[12:])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func FuzzGVariant(f *testing.F) {
	for _, attrs := range [][]tree.Xattr{nil, {{Name: "user.a", Value: "xy"}}, {{Name: "a", Value: ""},
		{Name: "b", Value: strings.Repeat("x", 300)}}, {{Name: "a", Value: strings.Repeat("x", 70000)}}} {
		f.Add(serialise(attrs))
	}
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		attrs, err := parseGVariantXattrs(b)
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := parseGVariantXattrs(serialise(attrs))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(attrs, again); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if !slices.IsSortedFunc(attrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("out of order: %v", attrs)
		}
	})
}
