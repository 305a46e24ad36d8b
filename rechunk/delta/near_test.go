package delta

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// noise are bytes that nothing else has.
func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 21))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// edited is b after an update: a few bytes more, a few others.
func edited(b []byte) []byte {
	c := append([]byte("what is new"), b...)
	for i := 5000; i < len(c); i += 20_000 {
		c[i]++
	}
	return c
}

// What was moved, renamed, split or joined is found by its content; of several files of a name, the one that has most of it
// is taken.
func TestSourcesByContent(t *testing.T) {
	t.Parallel()
	a, b, c := noise(300_000, 1), noise(260_000, 2), noise(200_000, 3)
	crowd := files{}
	for i := range 40 { // of other sizes and names
		crowd[fmt.Sprintf("usr/share/%d/data-%c", i, 'a'+i%26)] = noise(70_000+i*3000, uint64(100+i))
	}
	for name, test := range map[string]struct {
		old, now files
		most     int // bytes of the delta
		source   string
	}{
		"moved to another directory and name": {files{"usr/lib/x/libfirst.so.1": a, "usr/bin/b": b},
			files{"opt/other/second.bin": edited(a)}, 9000, "usr/lib/x/libfirst.so.1"},
		"split in two": {files{"usr/lib/whole.bin": a, "usr/bin/b": b},
			files{"usr/lib/p/one": edited(a[:150_000]), "usr/lib/p/two": edited(a[150_000:])}, 9000, "usr/lib/whole.bin"},
		"joined of two": {files{"usr/lib/a": a, "usr/lib/b": b},
			files{"usr/share/both": append(bytes.Clone(a), b...)}, 9000, "usr/lib/a"},
		"the worse has the same base name": {files{"usr/lib/x/tool": b, "usr/lib/y/renamed": a},
			files{"usr/libexec/tool": edited(a)}, 9000, "usr/lib/y/renamed"},
		"two of the name": {files{"usr/bin/python3.12": b, "usr/bin/python3.13": a},
			files{"usr/bin/python3.14": edited(b)}, 9000, "usr/bin/python3.12"},
		"nothing is shared": {files{"usr/lib/x/tool": b, "usr/lib/y/renamed": a}, files{"usr/libexec/other": c}, 203_000,
			""},
		"its path stays": {files{"usr/bin/tool": b, "usr/bin/b": edited(b)}, files{"usr/bin/tool": edited(b)[:259_000]},
			9000, "usr/bin/tool"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for p, b := range crowd {
				test.old[p] = b
			}
			target, want := test.now.target(t)
			delta, report := made(t, target, test.old, Options{Scratch: &temp{}, Parallel: 2})
			if len(delta) > test.most || report.Items[0].Source != test.source {
				t.Errorf("%d bytes, not %d: %+v", len(delta), test.most, report.Items)
			}
			got, err := applied(t.Context(), delta, test.old, ApplyOptions{Scratch: &temp{}})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, not the %d of the layer: %v", len(got), len(want), err)
			}
		})
	}
}

// The files that are looked at are few, of a bounded size in sum, each once, and no others than before where the path stays
// or the file is small.
func TestNear(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 22))
	var list []File
	for i := range 5000 {
		list = append(list, File{Path: fmt.Sprintf("usr/%d/lib%d.so.%d", i%9, i%50, i%7), Size: r.Int64N(1 << 21),
			Digest: tree.Digest{byte(i), byte(i >> 8)}})
	}
	f := NewFinder(list)
	for i := range 500 {
		p, size := fmt.Sprintf("usr/%d/lib%d.so.%d", i%17, i%70, i%11), r.Int64N(1<<22)
		near, like := f.Near(p, size), f.Like(p, size)
		if len(near) > mostNear || len(near) < len(like) || len(like) > 0 && near[0] != like[0] {
			t.Errorf("%s: %v, and %v by name", p, near, like)
		}
		if (size < leastNear || len(like) > 0 && like[0].Path == p) && len(near) > len(like) {
			t.Errorf("%s of %d bytes: %v, and %v by name", p, size, near, like)
		}
		seen, sum := map[File]bool{}, int64(0)
		for _, n := range near[len(like):] {
			sum += n.Size
			if seen[n] || sum > size*mostNear {
				t.Errorf("%s: %v", p, near)
			}
			seen[n] = true
		}
	}
}
