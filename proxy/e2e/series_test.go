package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// version says what an image of the series holds. The same version is the same image, byte by byte.
type version struct {
	built    time.Time      // of all files that no package brings at a fixed time
	revision map[string]int // of packages; 1 for those that are not listed, 0 for those that are not there
	build    string         // in files that each build makes anew
	special  bool           // with devices and pipes, which ostree does not take
	scale    int            // of the files' sizes; 0 is 1
}

// The series: an installation, an update of three packages with one that came and one that went, and the same built again.
func version1() version { return version{built: time.Unix(1_760_000_000, 0), build: "1"} }

func version2() version {
	return version{built: time.Unix(1_760_600_000, 0), build: "2", revision: map[string]int{
		"pkg03": 2, "pkg09": 2, "pkg21": 2, "pkg38": 0, "pkg40": 1,
	}}
}

func version3() version {
	v := version2()
	v.built, v.build = time.Unix(1_761_200_000, 0), "3"
	return v
}

// packages is the number of packages that images have; pkg40 comes with an update.
const packages = 40

// makeOS makes an image that is built as distributions do: a layer with everything, and one with what a site changes.
func makeOS(tb testing.TB, v version) sourceImage {
	tb.Helper()
	return sourceImage{
		layers: [][]byte{
			treetest.Gzip(tb, treetest.Tar(tb, v.base()...)),
			treetest.Gzip(tb, treetest.Tar(tb, v.site()...)),
		},
		labels: map[string]string{"containers.bootc": "1", "org.opencontainers.image.version": v.build},
	}
}

// series makes the images of the three versions once for all tests: of 8 MB, and of 50 MB.
func series(large bool) [3]sourceImage {
	if large {
		return largeSeries()
	}
	return smallSeries()
}

var (
	smallSeries = sync.OnceValue(func() [3]sourceImage { return makeSeries(1) })
	largeSeries = sync.OnceValue(func() [3]sourceImage { return makeSeries(6) })
)

func makeSeries(scale int) [3]sourceImage {
	var out [3]sourceImage
	for i, v := range []version{version1(), version2(), version3()} {
		v.scale = scale
		out[i] = makeOS(&testing.T{}, v)
	}
	return out
}

func (v version) base() []treetest.Item {
	items := []treetest.Item{
		treetest.Dir("."), treetest.Dir("etc"), treetest.Dir("etc/skel"), treetest.Dir("usr"), treetest.Dir("usr/bin"),
		treetest.Dir("usr/lib"), treetest.Dir("usr/share"), treetest.Dir("var"), treetest.Dir("var/lib"),
		treetest.Dir("var/lib/dpkg"),
		treetest.Dir("var/lib/dpkg/info"), treetest.Dir("root").WithMode(0o700), treetest.Dir("tmp").WithMode(0o1777),
		treetest.Dir("proc"), treetest.Dir("sys"), treetest.Dir("dev"), treetest.Dir("run"), treetest.Dir("boot"),
		treetest.Dir("sysroot"),
		treetest.Symlink("bin", "usr/bin"), treetest.Symlink("lib", "usr/lib"), treetest.Symlink("ostree", "sysroot/ostree"),
		treetest.File("etc/skel/.profile", "hidden by the second layer\n"),
		treetest.File("etc/hostname", "localhost\n"), treetest.File("etc/empty", ""),
		treetest.Dir("var/lib/chrony").WithOwner(105, 106).WithMode(0o2750),
		treetest.File("var/lib/chrony/drift", "0.1\n").WithOwner(105, 106).WithMode(0o640),
		treetest.File("usr/share/Übergröße ☃", "a name that is not ASCII\n"),
		treetest.File("usr/bin/ping", "raw sockets").WithMode(0o755).WithXattr("security.capability", capability()),
		treetest.File("usr/share/tool", "from another place\n").WithXattr("user.component", "toolbox"),
	}
	for depth := range 30 {
		items = append(items, treetest.Dir("usr/lib/"+strings.Repeat("long/", depth+1)))
	}
	for i := range packages {
		items = append(items, v.pkg(i)...)
	}
	items = append(items, v.database()...)
	items = append(items, treetest.File("usr/lib/"+strings.Repeat("long/", 30)+strings.Repeat("n", 120), "a long name\n"))
	if v.special {
		items = append(items, treetest.Dir("usr/lib/devices"), treetest.Char("usr/lib/devices/null", 1, 3).WithMode(0o666),
			treetest.Block("usr/lib/devices/loop0", 7, 0), treetest.Fifo("usr/lib/devices/queue"),
			treetest.Char("usr/lib/devices/high", 500, 70000))
	}
	for i, item := range items {
		items[i] = item.WithTime(v.built)
	}
	return items
}

// site is a second layer: it removes, replaces, adds, and hides a directory's contents.
func (v version) site() []treetest.Item {
	items := []treetest.Item{
		treetest.Dir("etc"), treetest.File("etc/hostname", "kiosk\n"), treetest.Dir("etc/skel"), treetest.Opaque("etc/skel"),
		treetest.File("etc/skel/.bashrc", "PS1='$ '\n"), treetest.Whiteout("usr/share/pkg05/data1"),
		treetest.Dir("usr/share/site"), treetest.File("usr/share/site/wallpaper", random("wallpaper", 1, 200_000)),
		treetest.Dir("var/cache"), treetest.Dir("var/cache/ldconfig").WithMode(0o700),
		treetest.File("var/cache/ldconfig/aux-cache", random("cache", len(v.build)+int(v.build[0]), 9000)).WithMode(0o600),
		treetest.Dir("var/log"), treetest.File("var/log/build.log", "build "+v.build+"\n"),
	}
	for i, item := range items {
		items[i] = item.WithTime(v.built)
	}
	return items
}

func pkgName(i int) string {
	if i == packages-1 {
		return "pkg40"
	}
	return fmt.Sprintf("pkg%02d", i)
}

// of returns a package's revision.
func (v version) of(name string) int {
	if r, ok := v.revision[name]; ok {
		return r
	}
	if name == "pkg40" {
		return 0
	}
	return 1
}

// pkg returns the files of a package: programs, two of them one file, a library with its link, and data that updates leave
// alone.
func (v version) pkg(i int) []treetest.Item {
	name := pkgName(i)
	rev := v.of(name)
	if rev == 0 {
		return nil
	}
	size := max(v.scale, 1) * (4000 + 9000*(i%7))
	library := fmt.Sprintf("usr/lib/lib%s.so.1.%d", name, rev)
	items := []treetest.Item{
		treetest.File("usr/bin/"+name, random(name+"-program", rev, size)).WithMode(0o755),
		treetest.Hardlink("usr/bin/"+name+"-again", "usr/bin/"+name).WithMode(0o755),
		treetest.File(library, random(name+"-library", rev, 3*size)),
		treetest.Symlink("usr/lib/lib"+name+".so.1", fmt.Sprintf("lib%s.so.1.%d", name, rev)),
		treetest.Dir("usr/share/" + name),
		treetest.File("usr/share/"+name+"/data1", random(name+"-data1", 1, size)),
		treetest.File("usr/share/"+name+"/data2", random(name+"-data2", 1, 2*size)),
		treetest.File("usr/share/"+name+"/copyright", "Everybody may.\n"),
		treetest.Symlink("usr/share/"+name+"/absolute", "/usr/share/"+name+"/data1"),
	}
	if i == 2 {
		items[0], items[1] = items[0].WithMode(0o4755), items[1].WithMode(0o4755)
	}
	return items
}

// database is dpkg's.
func (v version) database() []treetest.Item {
	var status strings.Builder
	var items []treetest.Item
	for i := range packages {
		name := pkgName(i)
		rev := v.of(name)
		if rev == 0 {
			continue
		}
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nSource: src-%s\nVersion: %d.0-1\nDescription: one of many\n\n", name, name, rev)
		var list bytes.Buffer
		for _, f := range v.pkg(i) {
			fmt.Fprintf(&list, "/%s\n", strings.TrimSuffix(f.Name, "/"))
		}
		items = append(items, treetest.File("var/lib/dpkg/info/"+name+".list", list.String()))
	}
	return slices.Concat(items, []treetest.Item{treetest.File("var/lib/dpkg/status", status.String())})
}

// capability is the attribute that lets a program use raw sockets (struct vfs_cap_data, revision 2, cap_net_raw=ep).
func capability() string {
	b := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	b = binary.LittleEndian.AppendUint32(b, 1<<13)
	return string(append(b, make([]byte, 12)...))
}

// random makes content that depends on its arguments alone, and that compresses to a half.
func random(name string, revision, size int) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(revision)))
	b := make([]byte, size/2)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)
}
