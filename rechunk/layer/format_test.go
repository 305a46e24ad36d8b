package layer_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/layer"
)

const module = "github.com/strata-oci/strata/"

func TestParseFormat(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"zstd": true, "gzip": true, "": false, "ZSTD": false, "zstd:chunked": true,
		"none": false, "chunked": false} {
		if f, err := layer.ParseFormat(name); (err == nil) != ok || ok && f.Spec().Name != name {
			t.Errorf("%q: %q, %v", name, f, err)
		}
	}
	_, err := layer.ParseFormat("lz4")
	if want := `format "lz4" is not known: use zstd, gzip or zstd:chunked`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Formats are told apart by all that one can know of them.
func TestFormatsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range layer.Formats() {
		s := f.Spec()
		mediaType := s.MediaType
		if f == layer.Chunked { // whose layers are zstd to who does not look for a table
			mediaType += " with a table"
		}
		for _, of := range []string{s.Name, mediaType, s.Encoder.String(), s.Encoder.Unversioned()} {
			if of == "" || seen[of] {
				t.Errorf("%s: %q is empty or another's", s.Name, of)
			}
			seen[of] = true
		}
	}
}

// The recorded encoder is the one that is compiled in. Its settings are part of the keys of records: they stay as long as
// the bytes do.
func TestEncoder(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}",
		"github.com/klauspost/compress").Output()
	if err != nil {
		t.Skipf("no module list: %v", err)
	}
	version := strings.TrimSpace(string(out))
	for f, want := range map[layer.Format]string{
		layer.Zstd: "zstd level=better window=8MiB crc",
		layer.Gzip: "gzip level=7",
	} {
		e := f.Spec().Encoder
		if e.Version != version || e.Settings != want || e.Unversioned() != "klauspost/compress "+want {
			t.Errorf("%s: %+v, want version %s and %s", f.Spec().Name, e, version, want)
		}
	}
}

// Whoever only writes layers does not carry the planner and the readers of package databases.
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("no package list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"rechunk/tree") {
		t.Fatalf("not the imports of this package: %v", deps)
	}
	for _, d := range deps {
		if d == module+"rechunk/plan" || d == module+"rechunk/pkgdb" || strings.Contains(d, "sqlite") ||
			strings.Contains(d, "rpmdb") {
			t.Errorf("layer imports %s", d)
		}
	}
}
