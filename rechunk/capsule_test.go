package rechunk_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// encapsulated are the options for ostree's form.
func encapsulated() rechunk.Options {
	o := rules
	o.OSTree = true
	return o
}

// unpackAll unpacks the layers of an encapsulated image over one another, which gives a repository that ostree reads.
func (i *importer) unpackAll(b *bench, v rechunk.Version) string {
	i.tb.Helper()
	dir := i.tb.TempDir()
	for _, l := range v.Layers {
		cmd := exec.CommandContext(i.tb.Context(), "tar", "-x", "-p", "--numeric-owner", "-C", dir, "sysroot")
		cmd.Stdin = bytes.NewReader(b.plain(i.tb, l.Digest))
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "Not found in archive") {
			i.tb.Fatalf("tar: %v: %s", err, out)
		}
	}
	return dir
}

// pull takes the commit of an encapsulated image into the host's repository, as bootc does: the objects that it does not
// have.
func (i *importer) pull(b *bench, v rechunk.Version, commit string) {
	i.tb.Helper()
	repo := filepath.Join(i.unpackAll(b, v), "sysroot/ostree/repo")
	i.run("pull-local", repo, commit)
	i.run("refs", "--create=version/"+commit, commit)
}

// attributesIn finds attributes in a listing.
var attributesIn = regexp.MustCompile(`\[\(.*?\)\]`)

// listing lists a commit with modes, owners, sizes, attributes and paths. An ostree before 2023 leaves attributes in any
// order.
func (i *importer) listing(ref string) []string {
	lines := strings.Split(i.run("ls", "-R", "-X", ref), "\n")
	for n, l := range lines {
		lines[n] = attributesIn.ReplaceAllStringFunc(l, func(s string) string {
			list := strings.Split(strings.ReplaceAll(s[2:len(s)-2], "byte ", ""), "), (")
			slices.Sort(list)
			return strings.Join(list, ", ")
		})
	}
	return lines
}

// Encapsulated images give a host the tree of the source, with labels by its policy, by the checksums of its objects; ostree
// finds nothing wrong in a repository that took several versions in.
func TestOSTreeForm(t *testing.T) {
	t.Parallel()
	series := 3
	if testing.Short() {
		series = 1
	}
	for n := range series {
		t.Run(fmt.Sprint("series ", n), func(t *testing.T) {
			seed := uint64(3000 + n)
			s := &bootableSeries{random: NewRandom(seed), rng: rand.New(rand.NewPCG(seed, 1))}
			hosts, plain, b := newImporter(t), newImporter(t), newBench(t, &rechunktest.MemoryStore{}, 2)
			var kept int
			for k := range 4 {
				raw := Tar(t, s.next(t)...)
				v, served := b.serve(t, rechunktest.NewImageOf(t, rechunktest.ImageOptions{}, raw), encapsulated())
				kept += v.LayersKept
				commit := served.Config.Config.Labels["ostree.commit"]
				hosts.pull(b, v, commit)
				hosts.run("fsck")
				plain.root([]digest.Digest{digest.FromBytes(raw)}, func(digest.Digest) []byte { return raw })
				if diff := cmp.Diff(plain.listing("merged"), hosts.listing(commit)); diff != "" {
					t.Fatalf("version %d: what hosts get is not the source's (-source +served):\n%s", k, diff)
				}
			}
			if kept == 0 {
				t.Error("no layer was kept")
			}
		})
	}
}

// What is encapsulated, served as a plain image and encapsulated again is the same commit but for its time: nothing is lost
// of attributes, owners and modes, whatever bytes are in them. bootc reads no plain image with a line break in an attribute;
// in this form it is rechunked.
func TestOSTreeFormThereAndBack(t *testing.T) {
	t.Parallel()
	items := []Item{
		Dir(".").WithXattr("user.root", "r"), Dir("usr"), Dir("etc").WithXattr("user.etc", "e"),
		Dir("sysroot").WithMode(0o700),
		Dir("run"), Dir("tmp").WithMode(0o1777), Dir("var"), File("etc/empty", "").WithXattr("user.e", "\x00"),
		File("run/seen", "x"),
		File("usr/a", "same").WithXattr("user.x", "1").WithXattr("security.capability",
			"\x01\x00\x00\x02\x03"+strings.Repeat("\x00", 15)),
		File("usr/b", "same").WithXattr("user.x", "1").WithXattr("security.capability",
			"\x01\x00\x00\x02\x03"+strings.Repeat("\x00", 15)),
		File("usr/c", "same"), File("usr/none", ""), File("usr/none-too", ""), Symlink("usr/l", "a"), Symlink("usr/m", "a"),
		Dir("usr/dir").WithXattr("user.d", "\xff").WithOwner(3, 4), File("usr/suid", "s").WithMode(0o4711).WithOwner(0, 7),
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, first := b.serve(t, source(t, items), encapsulated())
	label := first.Config.Config.Labels["ostree.commit"]
	encapsulatedImage := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: first.Config.Config.Labels},
		first.Layers...)
	plain := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, second := plain.serve(t, encapsulatedImage, rules)
	want := reference(t, items)
	got := second.Tree
	for _, tr := range [][]string{{"usr/a", "user.x"}, {"etc/empty", "user.e"}, {".", "user.root"}, {"etc", "user.etc"},
		{"usr/dir", "user.d"}, {"usr/b", "security.capability"}} {
		w, _ := want.Lookup(tr[0]).Xattr(tr[1])
		if g, _ := got.Lookup(tr[0]).Xattr(tr[1]); g != w || w == "" {
			t.Errorf("%s has %s=%q, want %q", tr[0], tr[1], g, w)
		}
	}
	again := newBench(t, &rechunktest.MemoryStore{}, 2)
	_, third := again.serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{}, second.Layers...), encapsulated())
	if got := third.Config.Config.Labels["ostree.commit"]; got != label {
		t.Errorf("commit %s, at first %s", got, label)
	}
	// In ostree's form a line break is nothing.
	lines := append(slices.Clone(items), File("usr/ima", "i").WithXattr("security.ima", "one\ntwo"))
	if _, err := b.Rechunk(t.Context(), source(t, lines).Request("test", rules)); !errors.Is(err, rechunk.ErrPassThrough) {
		t.Errorf("a plain image: %v", err)
	}
	v, s := b.serve(t, source(t, lines), encapsulated())
	if v.LayersKept == 0 {
		t.Error("no layer was kept")
	}
	for _, l := range s.Layers {
		for _, i := range l {
			if strings.Contains(i.PAXRecords["SCHILY.xattr.security.ima"], "\n") {
				t.Errorf("%s has a record that bootc reads wrongly", i.Name)
			}
		}
	}
}

// A file with one name in the commit and another where hosts have nothing of the image is two files to hosts, and to whoever
// reads the layers; names that are all outside stay one file.
func TestOSTreeFormLinksLeaveTheCommit(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][]string{
		"one outside":  {"tmp/h"},
		"two outside":  {"run/h", "tmp/h"},
		"both inside":  {"usr/i", "tmp/h"},
		"boot and run": {"boot/h", "run/h", "run/i"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := []Item{Dir("."), Dir("boot"), Dir("run"), Dir("tmp"), Dir("usr"), File("usr/h", "linked")}
			for _, l := range links {
				items = append(items, Hardlink(l, "usr/h"))
			}
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			b.serve(t, source(t, items), encapsulated())
			v, s := b.serve(t, source(t, append(items, File("usr/more", "m"))), encapsulated())
			if v.LayersKept == 0 {
				t.Error("no layer was kept")
			}
			for _, l := range append(links, "usr/h") {
				if e := s.Tree.Lookup(l); e == nil || e.Digest != s.Tree.Lookup("usr/h").Digest {
					t.Errorf("%s is %+v", l, e)
				}
			}
		})
	}
}

// A lineage that changes its form keeps no layer of the other, and says what hosts download for it, once.
func TestOSTreeFormChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	system := func(version string) []Item { return append(system(version, stamp), Dir("sysroot")) }
	b.serve(t, source(t, system("1")), rules)
	before, _ := b.serve(t, source(t, system("1")), rules)
	v, _ := b.serve(t, source(t, system("2")), encapsulated())
	if v.UnkeptBytes != before.TotalBytes {
		t.Errorf("%d bytes are not kept of %d", v.UnkeptBytes, before.TotalBytes)
	}
	p, err := b.PlanOf(t.Context(), v.Digest)
	if err != nil || v.LayersKept > 0 || !strings.Contains(strings.Join(p.Notes, "\n"), "download them once") {
		t.Errorf("%d layers kept, notes %q, %v", v.LayersKept, p.Notes, err)
	}
	v, s := b.serve(t, source(t, system("3")), encapsulated())
	if v.LayersKept == 0 || v.Form != rechunk.FormOSTree {
		t.Errorf("%d layers kept, form %q", v.LayersKept, v.Form)
	}
	labels := s.Config.Config.Labels
	if last := s.Config.RootFS.DiffIDs[len(s.Config.RootFS.DiffIDs)-1]; labels["ostree.final-diffid"] != last.String() ||
		labels["ostree.bootable"] != "true" || labels["containers.bootc"] != "1" ||
		s.Manifest.Annotations["ostree.commit"] != labels["ostree.commit"] {
		t.Errorf("labels %v, annotations %v", labels, s.Manifest.Annotations)
	}
	if v, _ = b.serve(t, source(t, system("4")), rules); v.Form != "" {
		t.Errorf("form %q", v.Form)
	}
}

// The same source and lineage give the same bytes with every build on every machine: the digest of the image, its commit's
// checksum and its layers are these until somebody changes them knowingly.
func TestOSTreeFormGolden(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 3)
	items := []Item{
		Dir("."), Dir("etc"), Dir("sysroot"), Dir("usr"), Dir("usr/lib"), File("etc/conf", "c"), File("usr/lib/empty", ""),
		File("usr/lib/a", "same"), File("usr/lib/b", "same"), Symlink("usr/lib/l", "a"),
		File("usr/lib/c", strings.Repeat("capable", 999)).WithXattr("user.c", "1").WithMode(0o4755).WithOwner(1, 2),
	}
	v, s := b.serve(t, source(t, items), encapsulated())
	got := []string{v.Digest.Encoded(), s.Config.Config.Labels["ostree.commit"]}
	for _, l := range v.Layers {
		got = append(got, l.Digest.Encoded())
	}
	want := []string{
		"19ab3c76cdd3e2124e5c9778487c80ae2d6d8a88e1a8626d8afa92768ed5fbb9",
		"de9ecd190c6c9d2043fdafc283f982faa56517f829e32ecdecc84f4021fdc2e5",
		"3044f85bf372c5bd8940286e9a63b1fb488265160e5c259b01e23c1bca075b05",
		"94076a1d06443a03b0f12a746f19b45788321ffc9a7f3adf98cde060f354265c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
