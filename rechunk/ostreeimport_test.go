package rechunk_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// importer imports images as a host on ostree does.
type importer struct {
	tb     testing.TB
	ostree *hostimport.Ostree
}

func newImporter(tb testing.TB) *importer {
	tb.Helper()
	o, err := hostimport.NewOstree(tb.Context(), tb.TempDir())
	if errors.Is(err, hostimport.ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &importer{tb: tb, ostree: o}
}

// run is what the ostree command prints.
func (i *importer) run(args ...string) string {
	i.tb.Helper()
	out, err := i.ostree.Run(i.tb.Context(), nil, args...)
	if err != nil {
		i.tb.Fatal(err)
	}
	return out
}

// root imports an image of uncompressed layers, by digest, and returns the checksums of its root.
func (i *importer) root(order []digest.Digest, layer func(digest.Digest) []byte) string {
	i.tb.Helper()
	root, err := i.ostree.Import(i.tb.Context(), order, func(d digest.Digest) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer(d))), nil
	})
	if err != nil {
		i.tb.Fatal(err)
	}
	return root
}

// served is root of an image that was made.
func (i *importer) served(b *bench, v rechunk.Version) string {
	i.tb.Helper()
	return i.root(layersOf(v), func(d digest.Digest) []byte { return b.plain(i.tb, d) })
}

func layersOf(v rechunk.Version) []digest.Digest {
	var order []digest.Digest
	for _, l := range v.Layers {
		order = append(order, l.Digest)
	}
	return order
}

// plain is a layer that was made, uncompressed.
func (b *bench) plain(tb testing.TB, d digest.Digest) []byte {
	tb.Helper()
	blob, _ := b.store.Blob(d)
	plain, err := rechunktest.UnpackFrames(blob) // how many there may be is checked when it is served
	if err != nil {
		tb.Fatal(err)
	}
	return plain
}

// bootableSeries makes versions of a system as one layer each: random files without devices, which ostree does not take,
// with all that import code trips over, and a policy that changes.
type bootableSeries struct {
	random *Random
	rng    *rand.Rand
	tree   *tree.Tree
	policy int
	// strict leaves out what composefs-rs does not take: times before 1970 with a fraction, and directories without a
	// parent.
	strict bool
}

func (s *bootableSeries) next(tb testing.TB) []Item {
	switch {
	case s.tree == nil:
		s.tree = s.random.Tree(60)
	case s.rng.IntN(8) > 0:
		s.tree = s.random.Edit(s.tree, 1+s.rng.IntN(10))
	}
	s.tree = s.tree.Clone()
	for i := range s.tree.Entries {
		e := &s.tree.Entries[i]
		if s.strict && e.Sec < 0 {
			e.Sec = -e.Sec
		}
		if e.Kind == tree.Char || e.Kind == tree.Block || e.Kind == tree.Fifo {
			e.Kind, e.Major, e.Minor, e.Digest = tree.Regular, 0, 0, s.random.Contents.Add("")
		}
	}
	if s.rng.IntN(5) == 0 {
		s.policy++
	}
	long := "usr/" + strings.Repeat("long/", 30)
	parents := []Item{Dir("usr")}
	for n := 1; s.strict && n < 30; n++ {
		parents = append(parents, Dir("usr/"+strings.TrimSuffix(strings.Repeat("long/", n), "/")))
	}
	return slices.Concat(s.random.Layer(nil, s.tree), parents, []Item{
		Dir("usr"), Dir("usr/lib"), Dir("etc"), Dir("etc/selinux"), Dir("etc/selinux/t"), Dir("etc/selinux/t/contexts"),
		Dir("etc/selinux/t/contexts/files"), Dir("etc/selinux/t/policy"), Dir("run"), Dir("tmp").WithMode(0o1777),
		Dir("boot"),
		Dir("sysroot"), File("run/secret", "x"), Symlink("lib", "usr/lib"), Symlink("ostree", "sysroot/ostree"),
		File("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=t\n"),
		File("etc/selinux/t/policy/policy.33", fmt.Sprint("policy ", s.policy)),
		File("etc/selinux/t/contexts/files/file_contexts", fmt.Sprintf("/.*\tsystem_u:object_r:default_t:s0\n"+
			"/usr/lib/.*\tsystem_u:object_r:lib%d_t:s0\n/.*[0-3]\t--\tsystem_u:object_r:f%d_t:s0\n",
			s.policy, s.policy/2)),
		File("usr/lib/ümlaut\nand a line", "x"), File("usr/lib/\"quoted\" \\", "y"),
		Hardlink("etc/link", "etc/selinux/config"),
		Dir("usr/lib/dir").WithXattr("user.dir", "\x00\xff").WithMode(0o2775).WithOwner(0, 2_500_000),
		File("usr/lib/suid", "s").WithMode(0o4755), Symlink("usr/lib/target", strings.Repeat("far/", 40)),
		Dir(strings.TrimSuffix(long, "/")), File(long+strings.Repeat("n", 120), fmt.Sprint(s.rng.IntN(4))),
		File("usr/lib/changes", fmt.Sprint(s.rng.IntN(3))).WithMode(0o600 + int64(s.rng.IntN(3))),
		File("usr/lib/capable", "c").WithXattr("security.capability",
			"\x01\x00\x00\x02"+string(rune('a'+s.rng.IntN(3)))+strings.Repeat("\x00", 15)),
	}, []Item{[]Item{File("usr/lib/morph", "a file"), Dir("usr/lib/morph"),
		Symlink("usr/lib/morph", "suid")}[s.rng.IntN(3)]})
}

// seriesOfImports are series by the number of their first version, with how many versions each has. STRATA_TEST_IMPORTS is
// how many there are in all, 50 by default.
func seriesOfImports(tb testing.TB) map[int]int {
	tb.Helper()
	versions := 50
	if n, err := strconv.Atoi(os.Getenv("STRATA_TEST_IMPORTS")); err == nil {
		versions = n
	}
	if testing.Short() {
		versions = 5
	}
	series := map[int]int{}
	for start := 0; start < versions; start += 10 {
		series[start] = min(10, versions-start)
	}
	return series
}

// Served images give hosts on ostree the same root, by its checksums, as their sources: contents, headers, attributes and
// labels by the image's policy.
func TestOstreeImport(t *testing.T) {
	t.Parallel()
	for start, versions := range seriesOfImports(t) {
		t.Run(fmt.Sprint("series ", start/10), func(t *testing.T) {
			seed := uint64(1000 + start)
			s := &bootableSeries{random: NewRandom(seed), rng: rand.New(rand.NewPCG(seed, 1))}
			s.random.Bootable = true
			sources, hosts, b := newImporter(t), newImporter(t), newBench(t, &rechunktest.MemoryStore{}, 2)
			labelled := ""
			for n := range versions {
				raw := Tar(t, s.next(t)...)
				d := digest.NewDigestFromBytes(digest.SHA256, sha256Of(raw))
				want := sources.root([]digest.Digest{d}, func(digest.Digest) []byte { return raw })
				v, _ := b.serve(t, rechunktest.NewImageOf(t, rechunktest.ImageOptions{}, raw), rules)
				got := hosts.served(b, v)
				if got != want {
					t.Fatalf("version %d: hosts get %s, of the source they would %s", n, got, want)
				}
				labelled = hosts.run("ls", "-X", "merged", "/usr/lib/suid")
			}
			if !strings.Contains(labelled, "object_r:lib") {
				t.Errorf("no label by the image's policy: %s", labelled)
			}
		})
	}
}

// An encapsulated image that was served as a plain one is, imported, the commit that was encapsulated: its root has the same
// checksums, so that nothing is lost of files, directories and their attributes. The root itself has none here: ostree takes
// them from no tar stream.
func TestOstreeImportOfEncapsulated(t *testing.T) {
	t.Parallel()
	hosts, b, dir := newImporter(t), newBench(t, &rechunktest.MemoryStore{}, 2), t.TempDir()
	for _, d := range []string{"sysroot", "usr/etc/dir", "usr/lib/dir/deep", "var/tmp", "boot"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for n, name := range []string{"usr/empty", "usr/etc/empty", "usr/lib/dir/deep/empty", "usr/file", "usr/etc/file"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name), n/3), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr", "usr/etc/dir", "usr/lib/dir/deep", "usr/empty", "usr/etc/empty", "usr/file",
		"var"} {
		if err := syscall.Setxattr(filepath.Join(dir, name), "user.name", []byte("of "+name), 0); err != nil {
			t.Skipf("no attributes here: %v", err)
		}
	}
	commit, layers := ostreetest.Encapsulate(t, dir)
	hosts.run("commit", "--no-bindings", "--tree=dir="+dir, "--branch", "source")
	want := hosts.run("ls", "-d", "-C", "source", "/")
	v, _ := b.serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: map[string]string{
		"containers.bootc": "1", "ostree.commit": commit,
	}}, layers[:]...), rules)
	if got := hosts.served(b, v); got != want {
		t.Errorf("hosts get %s, the commit is %s\n%s\n%s", got, want, hosts.run("ls", "-R", "-X", "merged"),
			hosts.run("ls", "-R", "-X", "source"))
	}
}

func sha256Of(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
