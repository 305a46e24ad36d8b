package pkgdb_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/dpkg"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxMemory is what the databases of one image may take beside its tree, in bytes.
const maxMemory = 150 << 20

// peak returns how far the heap grows while a function runs, garbage included.
func peak(do func()) uint64 {
	runtime.GC()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base, most := heap(), uint64(0)
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for {
			most = max(most, heap())
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	do()
	close(stop)
	sampling.Wait()
	return max(most, base) - base
}

// lines is a file's content that exists only while it is read: a head, and a line again and again.
type lines struct {
	head, line string
	n          int64
}

func (l lines) size() int64 { return int64(len(l.head)) + l.n*int64(len(l.line)) }

// bomb is a tree of files and of what their contents are made of.
type bomb struct {
	files treetest.Files
	lines map[string]lines
}

// made serves contents that are made while they are read.
type made struct {
	treetest.Contents
	lines map[tree.Digest]lines
}

func (m made) Open(d tree.Digest) (io.ReadCloser, error) {
	l, ok := m.lines[d]
	if !ok {
		return m.Contents.Open(d)
	}
	block := strings.Repeat(l.line, 1+(64<<10)/max(1, len(l.line)))
	return io.NopCloser(io.LimitReader(io.MultiReader(strings.NewReader(l.head), &cycle{block: block}), l.size())), nil
}

// cycle is a text without an end.
type cycle struct {
	block string
	at    int
}

func (c *cycle) Read(p []byte) (int, error) {
	n := copy(p, c.block[c.at:])
	c.at = (c.at + n) % len(c.block)
	return n, nil
}

// read reads a bomb, and fails the test when that takes too much memory.
func (b bomb) read(t *testing.T) (*tree.Tree, *pkgdb.Owners) {
	t.Helper()
	if b.files == nil {
		b.files = treetest.Files{}
	}
	for p, l := range b.lines {
		b.files[p] = treetest.Sized(l.size())
	}
	tr, c := treetest.New(b.files)
	contents := made{c, map[tree.Digest]lines{}}
	for p, l := range b.lines {
		contents.lines[tr.Lookup(p).Digest] = l
	}
	var o *pkgdb.Owners
	var err error
	n := peak(func() { o, err = pkgdb.Read(t.Context(), tr, contents, t.TempDir()) })
	if t.Logf("%d MiB of memory", n>>20); n > maxMemory {
		t.Errorf("at most %d MiB are right", maxMemory>>20)
	}
	if err != nil {
		t.Fatal(err)
	}
	checkOwners(t, tr, o)
	return tr, o
}

// numbered makes a text of lines that are numbered.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)))
	}
	return b.String()
}

func zipped(text io.Reader) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.Copy(w, text)
	w.Close()
	return b.Bytes()
}

// TestBudgets reads databases that are over one budget each: what was found before stands, a warning names the budget, and
// memory stays small. The heap is measured, so nothing runs beside it.
func TestBudgets(t *testing.T) {
	const status = "Package: p#\nStatus: install ok installed\nVersion: 1\n\n"
	for name, tc := range map[string]struct {
		bomb func() bomb
		want string
	}{
		"packages": {func() bomb {
			return bomb{lines: map[string]lines{"lib/apk/db/installed": {"", "P:a\n\n", pkgdb.MaxPackages + 1}}}
		}, "apk: lib/apk/db/installed: package databases are over budget: more than 65536 packages"},
		"names of one directory, apk": {func() bomb {
			return bomb{lines: map[string]lines{"lib/apk/db/installed": {"P:a\nF:usr\n", "R:name\n", pkgdb.MaxFiles + 1}}}
		}, "more than 2097152 paths"},
		"names of one directory, dpkg": {func() bomb {
			return bomb{
				files: treetest.Files{"var/lib/dpkg/status": "Package: a\n"},
				lines: map[string]lines{"var/lib/dpkg/info/a.list": {"", "/usr/name\n", pkgdb.MaxFiles + 1}},
			}
		}, "more than 2097152 paths"},
		"names of one directory, alpm": {func() bomb {
			return bomb{
				files: treetest.Files{"var/lib/pacman/local/a/desc": "%NAME%\na\n"},
				lines: map[string]lines{"var/lib/pacman/local/a/files": {"%FILES%\n", "usr/name\n", pkgdb.MaxFiles + 1}},
			}
		}, "more than 2097152 paths"},
		"names of one directory, rpm": {rpmNames, "more than 2097152 paths"},
		"bytes of paths":              {rpmPaths, "paths of more than 268435456 bytes"},
		"deep paths": {func() bomb {
			deep := strings.Repeat("d/", 200)
			return bomb{
				files: treetest.Files{deep + "x": "x"},
				lines: map[string]lines{"lib/apk/db/installed": {"P:a\n", "F:" + deep + "../.\n", 200_000}},
			}
		}, "more than 8388608 steps"},
		"links": {func() bomb {
			files := treetest.Files{}
			for i := range 40 {
				files[fmt.Sprintf("l%d", i)] = treetest.Link(strings.Repeat("./", 100) + fmt.Sprintf("l%d", i+1))
			}
			return bomb{files, map[string]lines{"lib/apk/db/installed": {"P:a\n", "F:l0/..\n", 200_000}}}
		}, "more than 8388608 steps"},
		"files of the database": {func() bomb {
			files := treetest.Files{"var/lib/dpkg/status": strings.Repeat("Package: a\n\n", 100)}
			for i := range 100_000 {
				files[fmt.Sprintf("var/lib/dpkg/info/a.x%d.list", i)] = ""
			}
			return bomb{files: files}
		}, "more than 8388608 steps"},
		"text": {func() bomb {
			files := treetest.Files{}
			for i := range 1100 {
				dir := fmt.Sprintf("var/lib/pacman/local/p%d/", i)
				files[dir+"desc"] = "%NAME%\np\n\n%X%\n" + strings.Repeat("text\n", 51000)
				files[dir+"files"] = ""
			}
			return bomb{files: files}
		}, "more than 268435456 bytes of text"},
		"changelogs": {func() bomb {
			files := treetest.Files{"var/lib/dpkg/status": numbered(70, status)}
			log := zipped(io.LimitReader(&cycle{block: "a line\n"}, 64<<20))
			for i := range 70 {
				files[fmt.Sprintf("usr/share/doc/p%d/changelog.gz", i)] = log
				files[fmt.Sprintf("var/lib/dpkg/info/p%d.list", i)] = ""
			}
			return bomb{files: files}
		}, fmt.Sprintf("changelogs have more than %d bytes", dpkg.MaxChangelogs)},
		"diversions": {func() bomb {
			return bomb{files: treetest.Files{
				"var/lib/dpkg/status": "Package: a\n", "var/lib/dpkg/diversions": numbered(1<<14+1, "/#\n/b\nc\n"),
			}}
		}, "more than 16384 diversions"},
		"times":                   {rpmTimes, "more than 2097152 changelog entries"},
		"files of other contents": {rpmLost, "more than 262144 files are not where packages put them"},
		"named components": {func() bomb {
			files := treetest.Files{}
			for i := range pkgdb.MaxComponents + 10 {
				name := map[string]string{"user.component": fmt.Sprint(i)}
				files[fmt.Sprintf("f%d", i)] = treetest.With{Value: treetest.Dir{}, Xattrs: name}
			}
			return bomb{files: files}
		}, "more than 65536 components"},
		"large files": {func() bomb {
			files := treetest.Files{}
			for i := range 20_000 {
				files[fmt.Sprintf("\xff%s%d", strings.Repeat("\xff", 240), i)] = treetest.Sized(1 << 20)
			}
			return bomb{files: files}
		}, "components of more than 16777216 bytes"},
		"rpm databases": {func() bomb {
			return bomb{lines: map[string]lines{"var/lib/rpm/Packages": {"", "\x00", 1<<30 + 1}}}
		}, "1073741825 bytes, at most 1073741824 are read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := tc.bomb()
			_, o := b.read(t)
			if !strings.Contains(fmt.Sprint(o.Warnings), tc.want) {
				t.Errorf("warnings %.300q, want one that says %q", o.Warnings, tc.want)
			}
		})
	}
}

// rpmNames is a database whose packages have a million names each.
func rpmNames() bomb {
	names := make([]string, 1<<20)
	header := rpmtest.Header(
		rpmtest.Field{Tag: 1000, Value: "a"}, rpmtest.Field{Tag: 1117, Value: names}, rpmtest.Field{Tag: 1118, Value: names},
		rpmtest.Field{Tag: 1116, Value: make([]uint32, len(names))},
	)
	return bomb{files: treetest.Files{"var/lib/rpm/Packages.db": rpmtest.NDB(header, header, header)}}
}

// rpmPaths is a package of files in one directory with a long name.
func rpmPaths() bomb {
	names := make([]string, 70_000)
	dir := []string{strings.Repeat("d", 4000)}
	return bomb{files: treetest.Files{"var/lib/rpm/Packages.db": rpmtest.NDB(rpmtest.Header(
		rpmtest.Field{Tag: 1000, Value: "a"}, rpmtest.Field{Tag: 1117, Value: names},
		rpmtest.Field{Tag: 1118, Value: dir}, rpmtest.Field{Tag: 1116, Value: make([]uint32, len(names))}))}}
}

// rpmTimes is a database of changelogs of their own.
func rpmTimes() bomb {
	headers := make([][]byte, pkgdb.MaxComponentChanges/pkgdb.MaxChanges+1)
	for i := range headers {
		times := make([]uint32, pkgdb.MaxChanges)
		for j := range times {
			times[j] = uint32(1 + i*len(times) + j)
		}
		headers[i] = rpmtest.Header(rpmtest.Field{Tag: 1000, Value: fmt.Sprint("p", i)},
			rpmtest.Field{Tag: 1080, Value: times})
	}
	return bomb{files: treetest.Files{"var/lib/rpm/Packages.db": rpmtest.NDB(headers...)}}
}

// rpmLost is a package of files that are not there.
func rpmLost() bomb {
	n := pkgdb.MaxLost + 1
	names, digests := make([]string, n), make([]string, n)
	sizes := make([]uint32, n)
	for i := range n {
		names[i], sizes[i], digests[i] = fmt.Sprint("/n", i), 1, fmt.Sprintf("%064x", i)
	}
	return bomb{files: treetest.Files{"var/lib/rpm/Packages.db": rpmtest.NDB(rpmtest.Header(
		rpmtest.Field{Tag: 1000, Value: "a"}, rpmtest.Field{Tag: 1027, Value: names}, rpmtest.Field{Tag: 1028, Value: sizes},
		rpmtest.Field{Tag: 5011, Value: []uint32{8}}, rpmtest.Field{Tag: 1035, Value: digests}))}}
}

// TestBudgetLeavesWhatWasFound has a package before the one that is over budget, and files that are nobody's after it.
func TestBudgetLeavesWhatWasFound(t *testing.T) {
	b := bomb{
		files: treetest.Files{"usr/bin/a": "a", "usr/bin/b": "b"},
		lines: map[string]lines{"lib/apk/db/installed": {"P:first\nF:usr/bin\nR:a\n\nP:bomb\nF:x\n", "R:y\n",
			pkgdb.MaxFiles}},
	}
	tr, o := b.read(t)
	for p, want := range map[string]string{"usr/bin/a": "apk/first", "usr/bin/b": "rest"} {
		if got := owned(t, tr, o, p)[p]; got != want {
			t.Errorf("%s is of %s, want %s", p, got, want)
		}
	}
}
