package inroot_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/proxy/hosts/inroot"
)

// tree makes a root with a directory, and links to it and out of the root.
func tree(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{"usr/etc/containers", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for name, content := range map[string]string{"root/usr/etc/containers/policy.json": "policy", "secret": "outside"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"etc/containers": "/usr/etc/containers", "etc/relative": "../usr/etc/containers", "etc/out": "../../../secret",
		"etc/outside": dir + "/secret", "etc/loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func open(tb testing.TB, dir string) *inroot.Root {
	tb.Helper()
	r, err := inroot.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func TestOpen(t *testing.T) {
	t.Parallel()
	r := open(t, tree(t))
	for name, want := range map[string]string{
		"etc/containers/policy.json": "policy", "etc/relative/policy.json": "policy",
		"usr/etc/containers/policy.json": "policy",
		"etc/out":                        "", "etc/outside": "", "etc/loop": "", "etc/none": "", "../secret": "", "/etc/containers/policy.json": "",
	} {
		b, err := fs.ReadFile(r, name)
		if string(b) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for name, want := range map[string]error{"etc/none": fs.ErrNotExist, "etc/none/x": fs.ErrNotExist,
		"etc/out": inroot.ErrDangling, "etc/outside": inroot.ErrDangling, "etc/outside/x": inroot.ErrDangling} {
		if _, err := r.Open(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if entries, err := fs.ReadDir(r, "etc/containers"); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Directories are made where the host would make them, links or not, and never outside.
func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	r := open(t, dir)
	d, err := r.Directory("etc/containers/registries.d")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.WriteFile("x", nil, 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/etc/containers/registries.d/x")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"etc/out/x", "etc/loop/x", "../x", "/x", "usr/etc/containers/policy.json"} {
		if d, err := r.Directory(name); err == nil {
			t.Errorf("%s is opened: %s", name, d.Name())
		}
	}
}

// A host's absolute link is followed from its root on.
func ExampleRoot_Open() {
	dir, err := os.MkdirTemp("", "inroot-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_ = os.WriteFile(dir+"/hostname", []byte("kiosk"), 0o600)
	_ = os.Symlink("/hostname", dir+"/name")
	r, err := inroot.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	b, err := fs.ReadFile(r, "name")
	fmt.Println(string(b), err)
	// Output: kiosk <nil>
}
