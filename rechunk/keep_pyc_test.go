package rechunk_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/noise"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// TestKeepNoiseOfCompiledFiles stamps sources anew: what was compiled of them stays, and quotes the time that its source
// has, unless something that is compiled of it does not stay.
func TestKeepNoiseOfCompiledFiles(t *testing.T) {
	t.Parallel()
	image := func(n int) []Item {
		at := stamp.Add(time.Duration(n) * time.Hour)
		file := func(p, body string) Item { return File("usr/py/"+p, body).WithTime(at) }
		cached := func(name, body string) Item { return file("__pycache__/"+name+".pyc", body) }
		return append(system("1", stamp), Dir("usr/py"), Dir("usr/py/__pycache__"),
			file("a.py", "a"), cached("a.cpython-311", pyc(0, at)), cached("a.cpython-311.opt-1", pyc(0, at)+"opt"),
			file("b.py", "b"), file("b.pyc", python2(at)),
			file("c.py", "c"), cached("c.cpython-311", pyc(0, at)+"c"),
			cached("c.cpython-311.opt-1", pyc(0, at)+fmt.Sprint(n)),
			file("d.py", fmt.Sprint(n)), cached("d.cpython-311", pyc(0, at)+"d"),
			file("e.py", "e"), cached("e.cpython-311", pyc(0, at.Add(time.Minute))+"e"),
			file("f.py", "f"), cached("f.cpython-311", pyc(3, at)+"f"),
			file("g.py", "g"), Hardlink("usr/py/h.py", "usr/py/g.py"), cached("g.cpython-311", pyc(0, at)+"g"))
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	b.serve(t, source(t, image(0)), keep)
	for n := 1; n < 3; n++ {
		v, s := b.serve(t, source(t, image(n)), keep)
		record, err := b.PlanOf(t.Context(), v.Digest)
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for _, k := range record.NoiseKept {
			kept = append(kept, k.Path)
		}
		if want := []string{
			"usr/py/__pycache__/a.cpython-311.opt-1.pyc", "usr/py/__pycache__/a.cpython-311.pyc", "usr/py/b.pyc",
		}; !slices.Equal(kept, want) {
			t.Errorf("version %d: %q kept, want %q", n, kept, want)
		}
		now := stamp.Add(time.Duration(n) * time.Hour).Unix()
		for p, want := range map[string]int64{"a.py": stamp.Unix(), "b.py": stamp.Unix(), "c.py": now, "g.py": now} {
			if got := s.Tree.Lookup("usr/py/" + p).Sec; got != want {
				t.Errorf("version %d: %s has time %d, want %d", n, p, got, want)
			}
		}
		checkTold(t, b, source(t, image(n)), v, record.NoiseKept)
	}
	if k := noise.KindAt("usr/py/__pycache__/a.cpython-311.pyc"); k != noise.Compiled {
		t.Error(k)
	}
}
