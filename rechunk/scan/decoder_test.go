package scan_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/scan"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// A decoder reads each layer as a new one would, whatever came before it.
func TestDecoderIsUsedAgain(t *testing.T) {
	t.Parallel()
	small, large := Tar(t, File("a", "a")), Tar(t, ManyFiles(200, 40_000)...)
	blobs := map[string][]byte{
		"tar": small, "gzip": Gzip(t, large), "zstd": Zstd(t, large), "small zstd": Zstd(t, small),
		"two frames": append(Zstd(t, small), Zstd(t, large)...),
		"cut zstd":   Zstd(t, large)[:1000], "cut gzip": Gzip(t, large)[:1000], "bad zstd": flip(Zstd(t, large)),
		"no tar": Zstd(t, []byte("not a tar archive")),
		"empty":  nil, "unknown": []byte("BZh91AY&SY"),
	}
	var decoder scan.Decoder
	defer decoder.Close()
	for first, a := range blobs {
		for second, b := range blobs {
			if _, err := scan.Layer(t.Context(), bytes.NewReader(a),
				scan.Options{Decoder: &decoder}); (err == nil) != scans(first) {
				t.Errorf("%s: %v", first, err)
			}
			got, err := scan.Layer(t.Context(), bytes.NewReader(b), scan.Options{Decoder: &decoder, DiffID: true})
			want, wantErr := scan.Layer(t.Context(), bytes.NewReader(b), scan.Options{DiffID: true})
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("%s after %s: %v, want %v", second, first, err, wantErr)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s after %s (-want +got):\n%s", second, first, d)
			}
		}
	}
}

// scans says which of the blobs are layers.
func scans(name string) bool {
	switch name {
	case "tar", "gzip", "zstd", "small zstd", "two frames", "empty":
		return true
	}
	return false
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

// A decoder has its buffers only once. The test is not parallel: it looks at the allocations of the whole process.
func TestDecoderMemory(t *testing.T) {
	blob := Zstd(t, Tar(t, ManyFiles(20, 1<<20)...))
	var decoder scan.Decoder
	defer decoder.Close()
	const scans = 5
	var before, after runtime.MemStats
	for n := range 1 + scans {
		if n == 1 { // the buffers are made
			runtime.ReadMemStats(&before)
		}
		if _, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Decoder: &decoder}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	per := (after.TotalAlloc - before.TotalAlloc) / scans
	if most := uint64(3 << 20); per > most {
		t.Errorf("%d bytes allocated for a layer, at most %d", per, most)
	}
}
