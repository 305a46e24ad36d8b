package rechunk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// An image that has its configuration in /usr/etc, as ostree commits have it, is the same commit as one with it in /etc:
// contents, attributes, labels by the policy that lies in it. Nothing of it is lost in a plain image, either. Of an image
// with both nobody can say which is meant.
func TestOSTreeFormUsrEtc(t *testing.T) {
	t.Parallel()
	items := func(etc string) []Item {
		return []Item{
			Dir("."), Dir("sysroot"), Dir("usr"), Dir("usr/lib"), Dir("var"), File("var/full", "v").WithMode(0o7000),
			Dir(etc).WithXattr("user.etc", "e").WithMode(0o710), Dir(etc + "/selinux"), Dir(etc + "/selinux/t"),
			Dir(etc + "/selinux/t/contexts"), Dir(etc + "/selinux/t/contexts/files"),
			File(etc+"/selinux/config", "SELINUXTYPE=t\n"), File(etc+"/empty", "").WithXattr("user.e", "e"),
			File(etc+"/selinux/t/contexts/files/file_contexts", "/.*\tdefault_t:s0\n/etc(/.*)?\tetc_t:s0\n"),
			File("usr/lib/x", strings.Repeat("x", 999)),
		}
	}
	made := func(etc string, o rechunk.Options) *rechunktest.Served {
		_, s := newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, source(t, items(etc)), o)
		return s
	}
	moved, alone := made("etc", encapsulated()), made("usr/etc", encapsulated())
	commit := alone.Config.Config.Labels["ostree.commit"]
	if want := moved.Config.Config.Labels["ostree.commit"]; commit != want {
		t.Errorf("commit %s, with /etc %s", commit, want)
	}
	_, plain := newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, servedAgain(t, alone), rules)
	same(t, made("usr/etc", rules).Tree, plain.Tree, false)
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	if _, err := inspect(t, b, servedAgain(t, alone)).CommitOf(t.Context(), inspect(t, b, source(t,
		items("usr/etc")))); err != nil {
		t.Error(err)
	}
	both := append(items("usr/etc"), Dir("etc"))
	if _, err := b.Rechunk(t.Context(), source(t, both).Request("test", encapsulated())); !errors.Is(err,
		rechunk.ErrPassThrough) {
		t.Errorf("both: %v", err)
	}
}
