package rechunk_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// pyc is a compiled file of CPython 3.11 that quotes a time, or with flags 1 or 3 a hash.
func pyc(flags uint32, at time.Time) string {
	b := []byte{0xa7, 0x0d, '\r', '\n'}
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	return string(binary.LittleEndian.AppendUint32(b, 7)) + strings.Repeat("code", 100)
}

// python2 is a compiled file whose time stands right behind the magic number.
func python2(at time.Time) string {
	return string(binary.LittleEndian.AppendUint32([]byte{0x03, 0xf3, '\r', '\n'}, uint32(at.Unix()))) + "code"
}

// What a compiled file quotes of its source stays true when builds stamp the source anew; nothing else gets another time for
// it.
func TestQuotedTimesStayTrue(t *testing.T) {
	t.Parallel()
	image := func(n int) []Item {
		at := stamp.Add(time.Duration(n) * time.Hour)
		file := func(p, body string) Item { return File(p, body).WithTime(at) }
		return append(system(fmt.Sprint(n), stamp),
			Dir("usr/py"), Dir("usr/py/__pycache__"),
			file("usr/py/a.py", "a"), file("usr/py/__pycache__/a.cpython-311.pyc", pyc(0, at)),
			file("usr/py/b.py", "b"), file("usr/py/__pycache__/b.cpython-311.opt-1.pyc", pyc(0, at)),
			file("usr/py/c.py", "c"), file("usr/py/c.pyc", python2(at)),
			file("usr/py/hashed.py", "h"), file("usr/py/__pycache__/hashed.cpython-311.pyc", pyc(3, at)),
			file("usr/py/stale.py", "s"), file("usr/py/__pycache__/stale.cpython-311.pyc", pyc(0, at.Add(time.Minute))),
			file("usr/py/plain.py", "p"), file("usr/py/link.py", "l"), Hardlink("usr/py/other.py", "usr/py/link.py"),
			file("usr/py/__pycache__/other.cpython-311.pyc", pyc(0, at)),
		)
	}
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for n := range 3 {
		_, s := b.serve(t, source(t, image(n)), rules)
		at := stamp.Add(time.Duration(n) * time.Hour).Unix()
		for name, want := range map[string]int64{
			"a.py": at, "b.py": at, "c.py": at, "link.py": at, "other.py": at,
			"hashed.py": stamp.Unix(), "stale.py": stamp.Unix(), "plain.py": stamp.Unix(),
		} {
			if got := s.Tree.Lookup("usr/py/" + name).Sec; got != want {
				t.Errorf("version %d: %s has time %d, want %d", n, name, got, want)
			}
		}
	}
}
