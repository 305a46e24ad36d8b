package demo

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/oneshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emptyTemp makes a temporary directory that must be empty when the test is over.
func emptyTemp(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
}

func TestRun(t *testing.T) {
	emptyTemp(t)
	keep := filepath.Join(t.TempDir(), "images")
	var told []string
	r, err := Run(t.Context(), Options{Keep: keep, Scale: testScale, Tell: func(line string) { told = append(told, line) }})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Same || len(r.Versions) != 4 || r.Kept != keep || r.Files < 2000 || r.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	for i, v := range r.Versions {
		if !v.Same || v.Differences != 0 || v.Served != "rechunked" || v.Digest == v.SourceDigest {
			t.Errorf("version %s: %+v", v.Version, v)
		}
		if v.Layers != v.LayersKept+v.LayersNew || v.LayersNew == 0 || v.FloorBytes == 0 {
			t.Errorf("version %s: %+v", v.Version, v)
		}
		if i > 0 && (v.LayersKept == 0 || v.StrataBytes >= v.DirectBytes || v.Saving <= 0 || v.StrataBytes < v.FloorBytes) {
			t.Errorf("version %s saved nothing: %+v", v.Version, v)
		}
	}
	if rebuild := r.Versions[2]; rebuild.Saving < 0.9 {
		t.Errorf("a rebuild without updates saved %.2f", rebuild.Saving)
	}
	if !strings.Contains(strings.Join(told, "\n"), "Version 4") {
		t.Errorf("told: %q", told)
	}
	checkKept(t, keep)
}

// checkKept reads images that a demo kept.
func checkKept(t *testing.T, keep string) {
	t.Helper()
	direct, through := "oci:"+filepath.Join(keep, "direct"), "oci:"+filepath.Join(keep, "strata")
	v, err := oneshot.Verify(t.Context(), direct+":4", through+":4", false, 10, oneshot.Options{})
	if err != nil || !v.Same {
		t.Errorf("kept images: %v %+v", err, v)
	}
}

// Scripts read the document: keys stay.
func TestReportKeys(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(Report{Versions: []Version{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	keys := func(v any) []string { return slices.Sorted(maps.Keys(v.(map[string]any))) }
	for what, c := range map[string]struct{ got, want []string }{
		"report": {keys(got), []string{"bytes", "files", "kept", "same", "total", "versions"}},
		"version": {keys(got["versions"].([]any)[0]), []string{
			"change", "differences", "digest", "direct_bytes", "direct_seconds", "floor_bytes", "layers", "layers_kept",
			"layers_new", "same",
			"saving", "served", "source_digest", "strata_bytes", "strata_seconds", "version",
		}},
		"total": {keys(got["total"]), []string{"direct_bytes", "floor_bytes", "saving", "seconds", "strata_bytes",
			"update_saving"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
}

// A demo that is interrupted at any stage leaves nothing behind.
func TestRunInterrupted(t *testing.T) {
	emptyTemp(t)
	for _, phase := range []string{"build", "pull 1", "pull 2"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, Options{Scale: testScale, Progress: func(p string, _, _ int64) {
			if p == phase {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted in phase %s: %v", phase, err)
		}
	}
}

func TestRunRefusesToOverwrite(t *testing.T) {
	emptyTemp(t)
	keep := t.TempDir()
	if err := os.WriteFile(filepath.Join(keep, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Options{Keep: keep, Scale: testScale}); err == nil ||
		!strings.Contains(err.Error(), "is not empty") {
		t.Errorf("kept in a directory that is in use: %v", err)
	}
}
