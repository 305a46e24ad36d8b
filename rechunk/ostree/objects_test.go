package ostree

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
)

func sumOf(b byte) Checksum { return Checksum(slices.Repeat([]byte{b}, 32)) }

// names serialises an array of names with n checksums each.
func names(n int, list ...string) []byte {
	var elements [][]byte
	for i, name := range list {
		members := [][]byte{append([]byte(name), 0)}
		for k := range n {
			sum := sumOf(byte(16*k + i))
			members = append(members, sum[:])
		}
		var e []byte
		for _, m := range members {
			e = append(e, m...)
		}
		end := len(e)
		for k := n; k > 0; k-- { // the ends of all but the last, the first one's at the end
			end -= 32
			e = append(e, byte(end))
		}
		elements = append(elements, e)
	}
	if len(elements) == 0 {
		return nil
	}
	return container(elements, len(elements))
}

func TestDirtree(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 150)
	b := container([][]byte{names(1, "a", "b", long), names(2, "c", "é")}, 1)
	files, dirs, err := parseDirtree(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]file{{"a", sumOf(0)}, {"b", sumOf(1)}, {long, sumOf(2)}}, files,
		cmp.AllowUnexported(file{})); d != "" {
		t.Error(d)
	}
	want := []child{{"c", directory{sumOf(0), sumOf(16)}}, {"é", directory{sumOf(1), sumOf(17)}}}
	if d := cmp.Diff(want, dirs, cmp.AllowUnexported(child{}, directory{})); d != "" {
		t.Error(d)
	}
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"cut":                   b[:len(b)-1],
		"out of order":          container([][]byte{names(1, "b", "a"), nil}, 1),
		"twice":                 container([][]byte{names(1, "a", "a"), nil}, 1),
		"a slash":               container([][]byte{names(1, "a/b"), nil}, 1),
		"upwards":               container([][]byte{nil, names(2, "..")}, 1),
		"no name":               container([][]byte{names(1, ""), nil}, 1),
		"files for directories": container([][]byte{nil, names(1, "a")}, 1),
	} {
		if files, dirs, err := parseDirtree(b); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("%s: %v %v %v", name, files, dirs, err)
		}
	}
}

func FuzzObjects(f *testing.F) {
	f.Add(container([][]byte{names(1, "a", "b"), names(2, "c", "d")}, 1), objectsDir+"ab/"+strings.Repeat("0", 62)+".file")
	f.Add([]byte{0}, objectsDir+"ab/cd.dirtree")
	f.Add(slices.Repeat([]byte{38}, 80), objectsDir)
	f.Fuzz(func(t *testing.T, b []byte, path string) {
		files, dirs, err := parseDirtree(b)
		if err != nil && !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("%v", err)
		}
		if 33*len(files)+65*len(dirs) > len(b) {
			t.Errorf("%d files and %d directories in %d bytes", len(files), len(dirs), len(b))
		}
		if _, err := parseCommit(b); err != nil && !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("%v", err)
		}
		if sum, kind, ok := objectOf(path); ok && !strings.EqualFold(objectPath(sum, kind), path) {
			t.Errorf("%q is object %x.%s", path, sum, kind)
		}
	})
}
