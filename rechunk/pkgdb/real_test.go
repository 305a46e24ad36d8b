package pkgdb_test

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/tree"
)

var update = flag.Bool("update", false, "write the golden files of testdata/real anew")

// What real tools wrote has the components that are listed beside it. Of two versions of the same, the later says which
// components changed. testdata/real/make makes them: go test ./rechunk/pkgdb -run 'TestReal$' -update.
func TestReal(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/real/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	for _, name := range archives {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			tr, o := owners(t, filesOf(t, name))
			var b strings.Builder
			if before, ok := strings.CutSuffix(name, "-2.tar.gz"); ok {
				old, oldOwners := owners(t, filesOf(t, before+"-1.tar.gz"))
				fmt.Fprintf(&b, "changed: %s\n\n", strings.Join(changed(old, oldOwners, tr, o), " "))
			}
			list(&b, tr, o)
			golden := strings.TrimSuffix(name, ".tar.gz") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// What the tools write that this machine has, in the versions that it has, has the components of the golden files.
func TestRealTools(t *testing.T) {
	t.Parallel()
	for kind, tool := range map[string]string{"rpm": "rpmbuild", "flatpak": "flatpak", "bst": "bst"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
				t.Skipf("there is no %s, or nobody to run it as root", tool)
			}
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), "testdata/real/make", kind)
			cmd.Env = append(os.Environ(), "OUT="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("make %s: %v: %s", kind, err, out)
			}
			for _, version := range []string{"-1.tar.gz", "-2.tar.gz"} {
				want, got := packagesIn(t, "testdata/real/"+kind+version), packagesIn(t, filepath.Join(dir, kind+version))
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s%s (-golden +made here):\n%s", kind, version, diff)
				}
			}
		})
	}
}

// packagesIn returns the components that no tool's housekeeping makes.
func packagesIn(t testing.TB, name string) []string {
	t.Helper()
	_, o := owners(t, filesOf(t, name))
	var ids []string
	for _, c := range o.Components {
		if c.Kind != pkgdb.Volatile {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// list writes each component with its version and what it has of the tree besides directories.
func list(b *strings.Builder, t *tree.Tree, o *pkgdb.Owners) {
	for _, w := range o.Warnings {
		fmt.Fprintf(b, "warning: %s\n", w)
	}
	for c, component := range o.Components {
		fmt.Fprintln(b, strings.TrimSpace(component.ID+" "+component.Version))
		for i, e := range t.Entries {
			if o.Of[i] == int32(c) && e.Kind != tree.Dir {
				fmt.Fprintf(b, "  %s\n", e.Path)
			}
		}
	}
}

// changed returns the components of which a file came, went, changed, or moved to another component.
func changed(old *tree.Tree, oldOwners *pkgdb.Owners, t *tree.Tree, o *pkgdb.Owners) []string {
	type file struct {
		component, target string
		content           tree.Digest
	}
	collect := func(t *tree.Tree, o *pkgdb.Owners) map[string]file {
		files := map[string]file{}
		for i, e := range t.Entries {
			if e.Kind != tree.Dir {
				files[e.Path] = file{o.Components[o.Of[i]].ID, e.Target, e.Digest}
			}
		}
		return files
	}
	before, after, differ := collect(old, oldOwners), collect(t, o), map[string]bool{}
	for p, f := range before {
		if after[p] != f {
			differ[f.component] = true
		}
	}
	for p, f := range after {
		if before[p] != f {
			differ[f.component] = true
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

// filesOf reads an archive.
func filesOf(t testing.TB, name string) treetest.Files {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files, links := treetest.Files{}, map[string][]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeLink:
			links[path.Clean(h.Linkname)] = append(links[path.Clean(h.Linkname)], p)
			continue
		case tar.TypeSymlink:
			files[p] = treetest.Link(h.Linkname)
		case tar.TypeDir:
			files[p] = treetest.Dir{}
		default:
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, p, err)
			}
			files[p] = text
		}
		if xattrs := xattrsOf(h); p != "." && len(xattrs) > 0 {
			files[p] = treetest.With{Value: files[p], Xattrs: xattrs}
		}
	}
	delete(files, ".")
	for target, names := range links {
		names = append(names, target)
		slices.SortFunc(names, cmp.Compare)
		value := files[target]
		for _, p := range names[1:] {
			files[p] = treetest.Hard(names[0])
		}
		files[names[0]] = value
	}
	return files
}

func xattrsOf(h *tar.Header) map[string]string {
	xattrs := map[string]string{}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			xattrs[name] = value
		}
	}
	return xattrs
}
