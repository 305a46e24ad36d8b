package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// twins makes an image in which a kernel and a package database exist twice; revision is that of the database.
func twins(t *testing.T, revision int) sourceImage {
	t.Helper()
	database, kernel := random("database", revision, 300_000), random("kernel", 1, 300_000)
	items := []treetest.Item{
		treetest.Dir("."), treetest.Dir("etc"), treetest.Dir("usr"), treetest.Dir("usr/lib"),
		treetest.Dir("usr/lib/modules"),
		treetest.Dir("usr/lib/boot"), treetest.Dir("usr/share"), treetest.Dir("usr/share/rpm"),
		treetest.Dir("usr/lib/rpm-base"),
		treetest.File("usr/share/rpm/rpmdb", database), treetest.File("usr/lib/rpm-base/rpmdb", database),
		treetest.File("usr/lib/modules/vmlinuz", kernel).WithMode(0o755),
		treetest.File("usr/lib/boot/vmlinuz", kernel).WithMode(0o755),
		treetest.File("usr/lib/modules/private", kernel), treetest.File("etc/rpmdb", database),
	}
	for i := range items {
		items[i] = items[i].WithTime(version1().built)
	}
	return sourceImage{
		layers: [][]byte{treetest.Gzip(t, treetest.Tar(t, items...))},
		labels: map[string]string{"containers.bootc": "1"},
	}
}

// names counts the names of a file.
func names(tb testing.TB, dir, p string) uint64 {
	tb.Helper()
	info, err := os.Lstat(filepath.Join(dir, p))
	if err != nil {
		tb.Fatal(err)
	}
	return uint64(info.Sys().(*syscall.Stat_t).Nlink)
}

// Every client gets the source's files, identical ones in /usr as one file with two names; with hardlinks: preserve as they
// were.
func TestIdenticalFilesAreLinked(t *testing.T) {
	t.Parallel()
	need(t, "skopeo", "umoci")
	needRoot(t)
	u := newUpstream(t)
	u.push("os/image:v1", twins(t, 1))
	u.push("os/image:v2", twins(t, 2))
	shared, own := newProxy(t, u, proxyOptions{}), newProxy(t, u, proxyOptions{rule: "hardlinks: preserve"})
	sources := map[string]string{}
	for _, tag := range []string{"v1", "v2"} {
		sources[tag] = unpack(t, u.host()+"/os/image:"+tag)
		got := unpack(t, shared.image("os/image:"+tag))
		sameTree(t, sources[tag], got, sameness{times: true, anyLinks: true})
		for p, want := range map[string]uint64{
			"usr/share/rpm/rpmdb": 2, "usr/lib/modules/vmlinuz": 2, "usr/lib/modules/private": 1, "etc/rpmdb": 1,
		} {
			if n := names(t, got, p); n != want {
				t.Errorf("%s: %s has %d names, want %d", tag, p, n, want)
			}
		}
		sameTree(t, sources[tag], unpack(t, own.image("os/image:"+tag)), sameness{times: true})
	}
	t.Run("podman", func(t *testing.T) {
		m := newPodman(t)
		for _, tag := range []string{"v1", "v2"} {
			m.pull(shared.image("os/image:" + tag))
			sameTree(t, sources[tag], m.mount(shared.image("os/image:"+tag)), sameness{anyTop: true, anyLinks: true})
		}
	})
	t.Run("bootc", func(t *testing.T) {
		b := newBootc(t)
		for _, tag := range []string{"v1", "v2"} {
			sameFiles(t, sources[tag], b.upgrade(shared.image("os/image:"+tag)))
		}
	})
}
