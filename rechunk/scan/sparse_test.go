package scan_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/rechunk/scan"
)

// TestScanSparse reads sparse files as GNU tar writes them.
func TestScanSparse(t *testing.T) {
	t.Parallel()
	gnuTar, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("there is no tar")
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	// More fragments than fit into one old GNU header, and a hole at the end.
	const size = 4 << 20
	want := make([]byte, size)
	for i := range 40 {
		off := i * 100 << 10
		n := copy(want[off:], bytes.Repeat([]byte{byte(i + 1)}, 4096))
		if _, err := f.WriteAt(want[off:off+n], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"gnu":     {"--format=gnu"},
		"pax 0.0": {"--format=pax", "--sparse-version=0.0"},
		"pax 0.1": {"--format=pax", "--sparse-version=0.1"},
		"pax 1.0": {"--format=pax", "--sparse-version=1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), gnuTar, append(args, "--sparse", "-C", dir, "-cf", "-", "sparse")...)
			blob, err := cmd.Output()
			if err != nil {
				t.Skipf("tar %v: %v", args, err)
			}
			if len(blob) >= size {
				t.Skip("this filesystem or tar makes no sparse files")
			}
			spool := newSpool(t)
			got, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Spool: spool})
			if err != nil {
				t.Fatal(err)
			}
			e := got.Index.Entries[0]
			if e.Path != "sparse" || e.Size != size || e.Digest != sha256.Sum256(want) || !spool.Has(e.Digest) {
				t.Errorf("got %+v", e)
			}
		})
	}
}
