package disk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/hosts/disk"
	"github.com/strata-oci/strata/proxy/hosts/policy"
)

func put(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a host has is read; what it has not is empty, and so is a host that is not there.
func TestExisting(t *testing.T) {
	t.Parallel()
	for _, root := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		e, err := disk.Existing(root, "p.example")
		if err != nil || e.Policy != nil || e.Docker != nil {
			t.Errorf("%s: %v, %v", root, e, err)
		}
	}
	root := t.TempDir()
	put(t, root, "etc/containers/policy.json", `{"default": []}`)
	put(t, root, "etc/docker/daemon.json", `{}`)
	put(t, root, "etc/containers/registries.d/a.yaml",
		"docker: {a.example: {use-sigstore-attachments: true}, b.example: {}}")
	put(t, root, "etc/containers/registries.d/50-strata-p.example.yaml",
		"docker: {own.example: {use-sigstore-attachments: true}}")
	e, err := disk.Existing(root, "p.example")
	if err != nil || string(e.Policy) != `{"default": []}` || string(e.Docker) != "{}" {
		t.Fatalf("%q, %q, %v", e.Policy, e.Docker, err)
	}
	for namespace, want := range map[string][2]bool{
		"a.example": {true, true}, "b.example": {true, false}, "own.example": {}, "c.example": {},
	} {
		if listed, enabled := e.Attachments(namespace); listed != want[0] || enabled != want[1] {
			t.Errorf("%s: %t, %t", namespace, listed, enabled)
		}
	}
}

// A file that is too long, or that a link out of the root leads to, is refused and not read.
func TestExistingRefuses(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	put(t, outside, "policy.json", `{"default": []}`)
	for name, make := range map[string]func(root string){
		"long": func(root string) {
			put(t, root, "etc/containers/policy.json", strings.Repeat(" ", policy.MaxBytes+1))
		},
		"link": func(root string) {
			put(t, root, "etc/containers/x", "")
			link := filepath.Join(root, "etc/containers/policy.json")
			if err := os.Symlink(filepath.Join(outside, "policy.json"), link); err != nil {
				t.Fatal(err)
			}
		},
	} {
		root := t.TempDir()
		make(root)
		if e, err := disk.Existing(root, ""); err == nil {
			t.Errorf("%s: %q", name, e.Policy)
		}
	}
}

// Files replace those before them, whole, and nothing else comes about; links that lead out are not followed.
func TestWrite(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "new")
	files := []hosts.File{{Path: "/etc/containers/policy.json", Content: "one"},
		{Path: "/etc/docker/daemon.json", Content: "two"}}
	for range 2 {
		if err := disk.Write(root, files); err != nil {
			t.Fatal(err)
		}
		files[0].Content += "!"
	}
	for path, want := range map[string]string{"etc/containers/policy.json": "one!", "etc/docker/daemon.json": "two"} {
		if b, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(root, "etc/*/*.strata-new")); len(left) > 0 {
		t.Error(left)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "etc/out")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/out/x", "/../x", "/etc/../../x"} {
		if err := disk.Write(root, []hosts.File{{Path: path, Content: "x"}}); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Who could not read a file cannot read the one that takes its place.
func TestWriteKeepsTheMode(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, root, "etc/containers/policy.json", "{}")
	before := filepath.Join(root, "etc/containers/policy.json")
	if err := os.Chmod(before, 0o600); err != nil {
		t.Fatal(err)
	}
	files := []hosts.File{{Path: "/etc/containers/policy.json", Content: "x"}, {Path: "/etc/containers/new", Content: "x"}}
	if err := disk.Write(root, files); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"policy.json": 0o600, "new": 0o644} {
		if info, err := os.Stat(filepath.Join(root, "etc/containers", name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// A policy counts wherever clients read it: the system's, the distribution's, root's own, which is told of.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const etc, share, own = "etc/containers/policy.json", "usr/share/containers/policy.json",
		"root/.config/containers/policy.json"
	for _, tt := range []struct {
		files []string
		want  string
		roots bool
	}{
		{[]string{etc, share}, etc, false}, {[]string{share}, share, false}, {[]string{own}, own, true},
		{[]string{own, etc}, etc, true}, {nil, "", false},
	} {
		root := t.TempDir()
		for _, f := range tt.files {
			put(t, root, f, f)
		}
		e, err := disk.Existing(root, "p.example")
		if err != nil || string(e.Policy) != tt.want || e.RootsPolicy != tt.roots {
			t.Errorf("%v: %q, %t, %v", tt.files, e.Policy, e.RootsPolicy, err)
		}
	}
}

// A host's absolute links lead to its own files: what lies behind one is read, and written.
func TestLinkedDirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, root, "usr/etc/containers/policy.json", "{}")
	put(t, root, "etc/x", "")
	if err := os.Symlink("/usr/etc/containers", filepath.Join(root, "etc/containers")); err != nil {
		t.Fatal(err)
	}
	if e, err := disk.Existing(root, "p.example"); err != nil || string(e.Policy) != "{}" {
		t.Errorf("%q, %v", e.Policy, err)
	}
	file := hosts.File{Path: "/etc/containers/registries.d/x.yaml", Content: "new"}
	if err := disk.Write(root, []hosts.File{file}); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "usr/etc/containers/registries.d/x.yaml")); err != nil ||
		string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
}

// What cannot be written leaves the file before as it was.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, root, "etc/x", "before")
	if err := os.MkdirAll(filepath.Join(root, "etc/x.strata-new/y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := disk.Write(root, []hosts.File{{Path: "/etc/x", Content: "after"}}); err == nil {
		t.Error("it was written")
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/x")); err != nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
}

// The files of a host are written below a root, which may be that of an image in the making.
func ExampleWrite() {
	root, err := os.MkdirTemp("", "root-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	err = disk.Write(root, []hosts.File{{Path: "/etc/containers/registries.d/50-strata-p.example.yaml",
		Content: "docker: {}\n"}})
	b, rerr := os.ReadFile(filepath.Join(root, "etc/containers/registries.d/50-strata-p.example.yaml"))
	fmt.Printf("%v %v %s", err, rerr, b)
	// Output: <nil> <nil> docker: {}
}
