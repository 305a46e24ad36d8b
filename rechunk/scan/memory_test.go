package scan_test

import (
	"archive/tar"
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/strata-oci/strata/rechunk/scan"
)

// zeros is a layer of one file of zeros.
func zeros(t testing.TB, size int64) io.Reader {
	t.Helper()
	var header bytes.Buffer
	if err := tar.NewWriter(&header).WriteHeader(&tar.Header{Name: "zeros", Size: size, Mode: 0o644,
		Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	return io.MultiReader(&header, io.LimitReader(endless{}, size+1024))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestScanMemory is not parallel: it looks at the allocations of the whole process.
func TestScanMemory(t *testing.T) {
	const size = 256 << 20
	spool := newSpool(t)
	for name, opts := range map[string]scan.Options{"hash": {DiffID: true}, "spool": {Spool: spool}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := scan.Layer(t.Context(), zeros(t, size), opts)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if got.Index.Entries[0].Size != size {
			t.Errorf("%s: %d bytes", name, got.Index.Entries[0].Size)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
	}
}
