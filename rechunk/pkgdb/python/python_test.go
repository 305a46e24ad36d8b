package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

func digestLine(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256=" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestRead(t *testing.T) {
	t.Parallel()
	record := "../../../bin/tool," + digestLine("tool") + ",4\n" +
		`"my_tool/a,b.py",` + digestLine("code") + ",4\n" +
		"my_tool/__pycache__/x.cpython-311.pyc,,\n" +
		"/etc/tool.conf,md5=AAAA,7\n" +
		"My_Tool-1.2.post1.dist-info/RECORD,,\n"
	tr, c := treetest.New(treetest.Files{
		"usr/lib/python3/site-packages/My_Tool-1.2.post1.dist-info/RECORD": record,
		"opt/venv/lib/site-packages/other-3.dist-info/RECORD":              "other.py\nbroken\"quote,,\nnever.py,,\n",
		"opt/venv/lib/site-packages/third-3.dist-info/RECORD/x":            "a directory",
		"opt/venv/lib/site-packages/-3.dist-info/RECORD":                   "nameless.py,,\n",
	})
	s := &treetest.Sink{}
	if err := Read(t.Context(), rootfs.New(tr, c), s); err != nil {
		t.Fatal(err)
	}
	const site = "/usr/lib/python3/site-packages/"
	want := []treetest.Package{
		{Name: "other", Source: "other", Version: "3",
			Files: []installed.File{{Path: "/opt/venv/lib/site-packages/other.py"}}},
		{Name: "My_Tool", Source: "my-tool", Version: "1.2.post1", Files: []installed.File{
			{Path: "/usr/bin/tool", Size: 4, Digest: sha256.Sum256([]byte("tool")), HasDigest: true},
			{Path: site + "my_tool/a,b.py", Size: 4, Digest: sha256.Sum256([]byte("code")), HasDigest: true},
			{Path: site + "my_tool/__pycache__/x.cpython-311.pyc", Ghost: true},
			{Path: "/etc/tool.conf", Size: 7},
			{Path: site + "My_Tool-1.2.post1.dist-info/RECORD"},
		}},
	}
	if diff := cmp.Diff(want, s.Packages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(s.Warnings) != 2 {
		t.Errorf("warnings %q, want those of the nameless one and of the broken one", s.Warnings)
	}
}

// What pip itself installs belongs to its distribution, every file of it.
func TestPip(t *testing.T) {
	t.Parallel()
	if err := exec.CommandContext(t.Context(), "python3", "-m", "pip", "--version").Run(); err != nil {
		t.Skip("there is no pip")
	}
	dir := t.TempDir()
	wheel, root := filepath.Join(dir, "strata_test.tool-1.2-py3-none-any.whl"), filepath.Join(dir, "root")
	writeWheel(t, wheel)
	out, err := exec.CommandContext(t.Context(), "python3", "-m", "pip", "install", "--no-index", "--no-deps",
		"--ignore-installed",
		"--root", root, wheel).CombinedOutput()
	if err != nil {
		t.Fatalf("pip: %v: %s", err, out)
	}
	files := treetest.Files{}
	if err := fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[name], err = os.ReadFile(filepath.Join(root, name))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	tr, c := treetest.New(files)
	view, s := rootfs.New(tr, c), &treetest.Sink{}
	if err := Read(t.Context(), view, s); err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 1 || s.Packages[0].Source != "strata-test-tool" || s.Packages[0].Version != "1.2" {
		t.Fatalf("found %+v", s.Packages)
	}
	owned := map[string]bool{}
	for _, f := range s.Packages[0].Files {
		i, ok := view.Locate(f.Path)
		if !ok {
			t.Errorf("%s is not there", f.Path)
			continue
		}
		if e := tr.Entries[i]; f.HasDigest && f.Digest != e.Digest {
			t.Errorf("%s has another digest", f.Path)
		}
		owned[tr.Entries[i].Path] = true
	}
	for name := range files {
		if !owned[name] {
			t.Errorf("%s is nobody's", name)
		}
	}
}

// writeWheel writes a distribution of one module and one command as a file that pip installs.
func writeWheel(t *testing.T, name string) {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	const info = "strata_test.tool-1.2.dist-info/"
	record := info + "RECORD,,\n"
	for _, f := range [][2]string{
		{"st.py", "def main(): pass\n"}, {info + "entry_points.txt", "[console_scripts]\nst = st:main\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: Strata_test.tool\nVersion: 1.2\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", ""},
	} {
		if f[1] == "" {
			f[1] = record
		} else {
			record += fmt.Sprintf("%s,%s,%d\n", f[0], digestLine(f[1]), len(f[1]))
		}
		file, err := w.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a.py,sha256=AAAA,1\n")
	f.Add("\"a\nb\",,\n../../../../x.pyc,,\n")
	f.Fuzz(func(t *testing.T, record string) {
		err := parse(strings.NewReader(record), "usr/lib/", func(f *installed.File) error {
			if len(f.Path) > 2*installed.MaxPath || f.Size < 0 {
				return fmt.Errorf("file %+v", f)
			}
			return nil
		})
		if err != nil && !errors.Is(err, installed.ErrDamaged) {
			t.Fatal(err)
		}
	})
}
