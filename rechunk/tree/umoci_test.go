//go:build linux

package tree_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// TestUmoci unpacks images with umoci and expects to find on disk what Flatten says.
func TestUmoci(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("umoci"); err != nil {
		t.Skip("there is no umoci")
	}
	if os.Geteuid() != 0 {
		t.Skip("owners and devices need root")
	}
	images := map[string][][]Item{
		"symlinks": {
			{Dir("."), Dir("usr/lib"), Symlink("lib", "usr/lib"), Symlink("abs", "/usr"), Symlink("a", "b"),
				Symlink("b", "../../usr"), File("usr/lib/x", "x")},
			{File("lib/y", ""), File("abs/z", ""), File("a/w", ""), File("missing/d/f", "")},
			{Dir("a"), File("a/v", ""), Whiteout("lib/x")},
		},
		"types": {
			{Dir("."), Dir("d"), File("d/x", ""), File("f", ""), Symlink("s", "d")},
			{File("d", "file"), Dir("f"), File("f/x", ""), Dir("s")},
			{Dir("d"), Symlink("f", "d"), File("s", "")},
		},
		"hardlinks": {
			{Dir("."), File("a", "1"), Hardlink("b", "a"), Symlink("s", "a"), Hardlink("t", "s"), File("k/x", "x"),
				Hardlink("k/y", "/k/x")},
			{Hardlink("c", "b"), File("a", "2"), Hardlink("k/z", "k/x")},
			{Whiteout("b"), File("k/x", "3")},
		},
		"opaque": {
			{Dir("."), File("d/a", ""), File("d/e/a", ""), Symlink("s", "d")},
			{Dir("d"), Opaque("d"), File("d/b", ""), Dir("s"), Opaque("s"), File("s/c", "")},
			{File("d/e/b", ""), Opaque("d/e")},
		},
	}
	for seed := range uint64(3) {
		r := NewRandom(seed)
		var prev *tree.Tree
		var layers [][]Item
		for range 5 {
			next := r.Tree(60)
			if prev != nil {
				next = r.Edit(prev, 10)
			}
			layers = append(layers, r.Layer(prev, next))
			prev = next
		}
		images[fmt.Sprint("random ", seed)] = layers
	}
	for name, layers := range images {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeLayout(t, filepath.Join(dir, "image"), layers)
			cmd := exec.CommandContext(t.Context(), "umoci", "unpack", "--image", filepath.Join(dir, "image")+":test",
				filepath.Join(dir, "bundle"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("umoci: %v\n%s", err, out)
			}
			for _, d := range tree.Diff(Tree(t, layers...), onDisk(t, filepath.Join(dir, "bundle", "rootfs")),
				tree.DiffOptions{}) {
				t.Error(d)
			}
		})
	}
}

// writeLayout writes an OCI layout with one image, tagged test.
func writeLayout(t *testing.T, dir string, layers [][]Item) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(mediaType string, b []byte) v1.Descriptor {
		d := digest.FromBytes(b)
		write(filepath.Join("blobs", "sha256", d.Encoded()), b)
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	}
	object := func(mediaType string, v any) v1.Descriptor {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return blob(mediaType, b)
	}
	config := v1.Image{Platform: v1.Platform{Architecture: "amd64", OS: "linux"}, RootFS: v1.RootFS{Type: "layers"}}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for _, items := range layers {
		raw := Tar(t, items...)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(raw))
		manifest.Layers = append(manifest.Layers, blob(v1.MediaTypeImageLayerGzip, Gzip(t, raw)))
	}
	manifest.Config = object(v1.MediaTypeImageConfig, config)
	tagged := object(v1.MediaTypeImageManifest, manifest)
	tagged.Annotations = map[string]string{v1.AnnotationRefName: "test"}
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{tagged}})
	if err != nil {
		t.Fatal(err)
	}
	write("index.json", index)
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// onDisk reads a directory as a tree.
func onDisk(t *testing.T, root string) *tree.Tree {
	t.Helper()
	out := &tree.Tree{}
	inodes := map[uint64][]string{}
	of := map[string]uint64{}
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(p, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		e, err := entryOnDisk(p, &st)
		if err != nil {
			return err
		}
		e.Path = rel
		out.Entries = append(out.Entries, e)
		if e.Kind != tree.Dir {
			inodes[st.Ino] = append(inodes[st.Ino], rel)
			of[rel] = st.Ino
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out.Entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	for i := range out.Entries {
		e := &out.Entries[i]
		if names := inodes[of[e.Path]]; len(names) > 1 {
			e.Link = slices.Min(names)
		}
	}
	return out
}

func entryOnDisk(p string, st *syscall.Stat_t) (tree.Entry, error) {
	kinds := map[uint32]tree.Kind{
		syscall.S_IFDIR: tree.Dir, syscall.S_IFREG: tree.Regular, syscall.S_IFLNK: tree.Symlink,
		syscall.S_IFCHR: tree.Char, syscall.S_IFBLK: tree.Block, syscall.S_IFIFO: tree.Fifo,
	}
	e := tree.Entry{Kind: kinds[st.Mode&syscall.S_IFMT], Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	var err error
	switch e.Kind {
	case tree.Symlink:
		e.Target, err = os.Readlink(p)
	case tree.Char, tree.Block:
		e.Major, e.Minor = int64(st.Rdev>>8&0xfff|st.Rdev>>32&^0xfff), int64(st.Rdev&0xff|st.Rdev>>12&^0xff)
	case tree.Regular:
		var b []byte
		if b, err = os.ReadFile(p); err == nil {
			e.Size, e.Digest = int64(len(b)), sha256.Sum256(b)
		}
		fallthrough
	case tree.Dir:
		if err == nil {
			e.Xattrs, err = xattrsOnDisk(p)
		}
	}
	return e, err
}

func xattrsOnDisk(p string) ([]tree.Xattr, error) {
	buf := make([]byte, 64<<10)
	n, err := syscall.Listxattr(p, buf)
	if err != nil {
		return nil, err
	}
	var out []tree.Xattr
	for name := range bytes.SplitSeq(bytes.TrimSuffix(buf[:n], []byte{0}), []byte{0}) {
		// rootless unpackers keep owners in an attribute of their own; the kernel adds labels
		if len(name) == 0 || strings.HasPrefix(string(name), "user.rootless") || string(name) == "security.selinux" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := syscall.Getxattr(p, string(name), value)
		if err != nil {
			return nil, err
		}
		out = append(out, tree.Xattr{Name: string(name), Value: string(value[:n])})
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
