package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

func TestEstimate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path string
		mode uint32
		want int64
		is   class
	}{
		{"usr/bin/bash", 0o755, 390 << 10, classProgram},
		{"usr/lib64/libc.so.6", 0o755, 390 << 10, classProgram},
		{"usr/lib/modules/6.1/kernel/fs/xfs.ko.xz", 0o644, mb, classProgram},
		{"usr/lib/modules/6.1/vmlinuz", 0o755, mb, classProgram},
		{"usr/lib/modules/6.1/initramfs.img", 0o600, mb, classData},
		{"usr/share/man/man1/ls.1.gz", 0o644, mb, classDoc},
		{"usr/share/doc/x/README", 0o644, 358 << 10, classDoc},
		{"usr/lib/python3/os.py", 0o644, 256 << 10, classData},
		{"usr/share/icons/a.png", 0o644, mb, classData},
		{"usr/share/x/blob", 0o644, 358 << 10, classData},
	} {
		e := tree.Entry{Path: test.path, Kind: tree.Regular, Mode: test.mode, Size: mb}
		if got := estimate(&e); got != test.want {
			t.Errorf("%s: estimate %d, want %d", test.path, got, test.want)
		}
		if got := classOf(&e); got != test.is {
			t.Errorf("%s: class %d, want %d", test.path, got, test.is)
		}
	}
	huge := tree.Entry{Path: "x", Kind: tree.Regular, Size: math.MaxInt64}
	if got := estimate(&huge); got < 0 {
		t.Errorf("estimate of a huge file is %d", got)
	}
}

func TestUpdatePrior(t *testing.T) {
	t.Parallel()
	const now = 20_000 * day
	every := func(days int64) (out []int64) {
		for at := now; at > now-2*window; at -= days * day {
			out = append(out, at)
		}
		return out
	}
	order := []pkgdb.Component{ // ascending
		{ID: "three years ago", Kind: pkgdb.Package, Changes: []int64{now - 3*window}},
		{ID: "quarterly", Kind: pkgdb.Package, Changes: every(91)},
		{ID: "monthly", Kind: pkgdb.Package, Changes: every(30)},
		{ID: "weekly", Kind: pkgdb.Package, Changes: every(7)},
		{ID: "initramfs", Kind: pkgdb.Initramfs},
		{ID: "volatile", Kind: pkgdb.Volatile},
	}
	last := 0.0
	for i := range order {
		p := updatePrior(&order[i], now)
		if p <= last || p >= 1 {
			t.Errorf("%s: probability %v after %v", order[i].ID, p, last)
		}
		last = p
	}
	future := pkgdb.Component{Kind: pkgdb.Package, Changes: []int64{now + day}, BuildTime: math.MaxInt64}
	if p := updatePrior(&future, now); p <= 0 || p >= 1 {
		t.Errorf("a changelog from the future gives %v", p)
	}
}

// What the lineage shows outweighs the priors.
func TestLearn(t *testing.T) {
	t.Parallel()
	gen := func(n int) *tree.Tree {
		return build(sized("hot/a.so", fmt.Sprint(n), mb), sized("hot/still.so", "1", mb), sized("hot/b", fmt.Sprint(n), mb),
			sized("cold/a.so", "1", mb), sized("cold/b.so", "1", mb), sized("cold/c.so", "1", mb),
			sized("cold/d.so", "1", mb))
	}
	in, _ := series(t, loose, gen(0), gen(1), gen(2), gen(3), gen(4), gen(5))
	m, err := newModel(&in)
	if err != nil {
		t.Fatal(err)
	}
	images, _ := m.usable()
	r := m.rates(m.evidence(m.learn(nil, images)))
	at := func(p string) (float64, float64) {
		i, _ := in.Tree.Find(p)
		return r.update[m.in.Owners.Of[i]], r.change[i]
	}
	hot, program := at("hot/a.so")
	_, still := at("hot/still.so")
	_, data := at("hot/b")
	cold, _ := at("cold/a.so")
	if hot < 0.6 || cold > 0.1 || program < 0.95 || still > 0.4 || data < 0.7 {
		t.Errorf("hot %v cold %v; program %v, unchanged program %v, changed data %v", hot, cold, program, still, data)
	}
}

func TestWaste(t *testing.T) {
	t.Parallel()
	one := func(p float64) load { // bytes that change as one
		return load{hot: 100 * p, cold: 100 * (1 - p), tied: 100 * 100 * p * (1 - p), bytes: 100}
	}
	if w := one(0.3).waste(); w > 1e-9 {
		t.Errorf("bytes that change as one waste %v", w)
	}
	near, far := one(0.1).plus(one(0.12)).waste(), one(0.1).plus(one(0.9)).waste()
	if near <= 0 || far <= near {
		t.Errorf("mixing alike wastes %v, mixing unlike %v", near, far)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	c := pkgdb.Component{ID: "rpm/" + strings.Repeat("é", 200) + "\n", Kind: pkgdb.Package}
	if got := title(&c); len(got) > maxTitle+3 || strings.ContainsAny(got, "\n") {
		t.Errorf("title %q", got)
	}
}
