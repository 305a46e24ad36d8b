package layer_test

import (
	"archive/tar"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

const year1 = -62135596800 // what a time.Time is that nobody set

// unusual has names and times that take more than a ustar header, in all combinations with what takes PAX records.
func unusual() (*tree.Tree, Contents) {
	contents := Contents{}
	names := []string{"é", "a\xff", strings.Repeat("l", 101), strings.Repeat("d/", 60) + "f", strings.Repeat("é", 60),
		"plain", strings.Repeat("n", 100)}
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}}}
	dirs := map[string]bool{}
	add := func(e tree.Entry) {
		for p := tree.Parent(e.Path); p != "." && !dirs[p]; p = tree.Parent(p) {
			dirs[p] = true
			t.Entries = append(t.Entries, tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755, Sec: year1})
		}
		t.Entries = append(t.Entries, e)
	}
	for _, name := range names {
		for how, change := range map[string]func(e *tree.Entry){
			"0": func(*tree.Entry) {},
			"x": func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.a", Value: "1\n"}, {Name: "user.é"}} },
			"n": func(e *tree.Entry) { e.Nsec = 500_000_000 },
			"1": func(e *tree.Entry) { e.Sec = year1 },
			"2": func(e *tree.Entry) { e.Sec, e.Nsec = year1, 1 },
			"3": func(e *tree.Entry) { e.Sec = year1 + 1 },
			"o": func(e *tree.Entry) { e.UID, e.GID = 1<<32-1, 1<<21 },
		} {
			body := how + name
			e := tree.Entry{Path: how + "/" + name, Kind: tree.Regular, Mode: 0o4755, Sec: 1_700_000_000,
				Size: int64(len(body)), Digest: contents.Add(body)}
			change(&e)
			link := e
			link.Path, link.Link, e.Link = e.Path+"2", e.Path, e.Path
			add(e)
			add(link)
			add(tree.Entry{Path: how + "/s" + name, Kind: tree.Symlink, Mode: 0o777, Target: name, Sec: e.Sec, Nsec: e.Nsec,
				Xattrs: e.Xattrs})
		}
	}
	slices.SortFunc(t.Entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return t, contents
}

// Names are raw bytes in headers, or in GNU's records when they are long, and never in PAX records; all else is kept to the
// last detail, the zero time of Go included.
func TestUnusualHeaders(t *testing.T) {
	t.Parallel()
	full, contents := unusual()
	whiteouts := []string{"wé", "w" + strings.Repeat("l", 120)}
	l := all(full)
	l.Whiteouts = whiteouts
	slices.Sort(l.Whiteouts)
	b, blob := write(t, full, l, contents, layer.Gzip)
	x, _, err := layer.Read(t.Context(), bytes.NewReader(b), blob, layer.Gzip, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full.Entries, x.Entries); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff(l.Whiteouts, x.Whiteouts); d != "" {
		t.Errorf("whiteouts (-want +got):\n%s", d)
	}
	plain, err := rechunktest.Unpack(b)
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 1024; {
		size := 0
		for _, c := range bytes.TrimRight(rest[124:136], "\x00 ") {
			size = size*8 + int(c-'0')
		}
		body := rest[512 : 512+size]
		if kind := rest[156]; kind == tar.TypeXHeader &&
			(bytes.Contains(body, []byte(" path=")) || bytes.Contains(body, []byte(" linkpath="))) {
			t.Errorf("a PAX record names a file: %q", body)
		}
		rest = rest[512+(size+511)/512*512:]
	}
}

// GNU tar and libarchive list the same names.
func TestUnusualHeadersElsewhere(t *testing.T) {
	t.Parallel()
	full, contents := unusual()
	b, _ := write(t, full, all(full), contents, layer.Gzip)
	plain, err := rechunktest.Unpack(b)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range full.Entries {
		name := e.Path
		if e.Kind == tree.Dir {
			name += "/"
		}
		want = append(want, name)
	}
	for _, args := range [][]string{{"tar", "--quoting-style=literal", "-tf", "-"}, {"bsdtar", "-tf", "-"},
		{"python3", "-c", listTar}} {
		program, err := exec.LookPath(args[0])
		if err != nil {
			t.Logf("there is no %s", args[0])
			continue
		}
		cmd := exec.CommandContext(t.Context(), program, args[1:]...)
		cmd.Env = []string{"LC_ALL=C"}
		cmd.Stdin = bytes.NewReader(plain)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if args[0] == "bsdtar" {
			continue // it escapes what is not ASCII
		}
		if d := cmp.Diff(want, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")); d != "" {
			t.Errorf("%v (-want +got):\n%s", args, d)
		}
	}
}

const listTar = `
import sys, tarfile
for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|', errors='surrogateescape'):
    sys.stdout.buffer.write((m.name + '/' * m.isdir() + '\n').encode('utf-8', 'surrogateescape'))
`
