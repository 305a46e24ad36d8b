package scan_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// fuzzLimits keep a single run small.
func fuzzLimits() tree.Limits {
	return tree.Limits{LayerBytes: 1 << 20, Entries: 1000, MetaBytes: 1 << 16, Path: 200, Depth: 20, Window: 1 << 20}
}

// FuzzLayer scans any bytes twice. What is accepted is a valid index, the same both times, and can be flattened or is
// refused.
func FuzzLayer(f *testing.F) {
	raw := Tar(f, Dir("."), Dir("d"), File("d/a", "x").WithXattr("user.x", "1"), Hardlink("d/b", "d/a"), Symlink("s", "d"),
		File("s/c", ""),
		Whiteout("e"), Opaque("d"), Char("c", 1, 2), Hardlink("l", "lower"))
	f.Add(raw)
	f.Add(Tar(f, GNU(File(strings.Repeat("n", 150), "x")), GNU(Hardlink("a", strings.Repeat("n", 150)))))
	f.Add(sparseBomb(f, 2, 5000))
	f.Add(Tar(f, File("x", "y").WithPAX("LIBARCHIVE.xattr.user.a", "YmFy"),
		File("y", "").WithPAX("GNU.sparse.major", "1").WithPAX("GNU.sparse.minor", "0").WithXattr("user.é", "\x00")))
	f.Add(Gzip(f, raw))
	f.Add(Zstd(f, raw))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = withChecksums(b)
		got, err := scanned(t, bytes.NewReader(b), fuzzLimits())
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
				t.Errorf("the error is nobody's: %v", err)
			}
			return
		}
		again, err := scanned(t, bytes.NewReader(b), fuzzLimits())
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Fatalf("the second time differs:\n%s", d)
		}
		Stored(t, got.Index, fuzzLimits())
		_, err = tree.Flatten(t.Context(), []*tree.Index{got.Index, again.Index}, fuzzLimits())
		if err != nil && !errors.Is(err, tree.ErrInvalid) && !errors.Is(err, tree.ErrLimit) {
			t.Errorf("the error is nobody's: %v", err)
		}
	})
}

// withChecksums repairs the checksums of what looks like a header, since changed bytes would go no further otherwise.
func withChecksums(b []byte) []byte {
	b = bytes.Clone(b)
	for block := b; len(block) >= 512; block = block[512:] {
		if string(block[257:262]) != "ustar" {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, c := range block[:512] {
			sum += int(c)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return b
}
