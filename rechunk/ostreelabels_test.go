package rechunk_test

import (
	"io"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/selinux"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Labels are those that ostree gives by the policy in the tree, each kind of file by the rules for it.
func TestCommitLabelledAsOSTree(t *testing.T) {
	t.Parallel()
	policy := []Item{
		Dir("usr"), Dir("usr/lib"), Dir("usr/bin"), Dir("etc"), Dir("etc/selinux"), Dir("etc/selinux/t"), Dir("proc"),
		Dir("sysroot"),
		Dir("etc/selinux/t/contexts"), Dir("etc/selinux/t/contexts/files"), Dir("etc/selinux/t/policy"), Dir("var"),
		File("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=t\n"), File("etc/selinux/t/policy/policy.33", "policy"),
		File("etc/selinux/t/contexts/files/file_contexts", `
/.*	system_u:object_r:default_t:s0
/	-d	system_u:object_r:root_t:s0
/mnt	-d	system_u:object_r:mnt_t:s0
/usr/.*	-d	system_u:object_r:usr_dir_t:s0
/usr/lib/.*	--	system_u:object_r:lib_t:s0
/usr/lib/.*\.so	-l	system_u:object_r:lib_link_t:s0
/usr/bin/.*	system_u:object_r:bin_t:s0
/usr/bin/literal	-l	system_u:object_r:never_t:s0
/var	-d	<<none>>
/etc(/.*)?	system_u:object_r:etc_t:s0
/etc/.*	-l	system_u:object_r:etc_link_t:s0
`),
		File("etc/selinux/t/contexts/files/file_contexts.subs_dist", "/usr/etc /etc\n/usr/lib64 /usr/lib\n"),
		File("usr/lib/a.so.1", "a"), Symlink("usr/lib/a.so", "a.so.1"), File("usr/bin/literal", ""),
		Symlink("usr/bin/l", "x"),
		Dir("usr/lib64"), File("usr/lib64/b.so", "b"), Symlink("usr/lib64/c.so", "b.so"), File("usr/elsewhere", "e"),
		Symlink("etc/link", "there"), File("usr/bin/capable", "c").WithXattr("security.capability",
			"\x01\x00\x00\x02\x00\x04"+strings.Repeat("\x00", 14)),
	}
	r := NewRandom(1)
	tr := Tree(t, policy)
	for _, i := range policy {
		r.Contents.Add(i.Body)
	}
	dir := t.TempDir()
	ostreetest.Disk(t, tr, r.Contents, dir)
	types := map[tree.Kind]*selinux.Labels{}
	for k, typ := range map[tree.Kind]selinux.Type{
		tree.Dir: selinux.Directory, tree.Regular: selinux.Regular, tree.Symlink: selinux.Symlink,
	} {
		var err error
		if types[k], err = selinux.ReadFor(typ, func(p string) (io.ReadCloser, error) {
			if e := tr.Lookup(p); e != nil {
				return r.Contents.Open(e.Digest)
			}
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	given := map[string]int{}
	label := func(e *tree.Entry) string {
		l, err := types[e.Kind].OfObject(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		given[l]++
		return l
	}
	objects, err := ostree.Commit{Timestamp: 1_700_000_000}.Objects(tr,
		&ostreetest.Files{TB: t, Tree: tr, Contents: r.Contents, Label: label})
	if err != nil {
		t.Fatal(err)
	}
	if want := ostreetest.Commit(t, dir, "--selinux-policy="+dir); objects[0].Sum.String() != want {
		t.Errorf("commit %s, ostree gives %s", objects[0].Sum, want)
	}
	if len(given) != 10 {
		t.Errorf("labels %v", given)
	}
}
