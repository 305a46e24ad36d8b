package delta

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

var write = flag.Bool("write-version", false, "write testdata/version-N.delta, of the version that Make writes")

// rebuilt is a program before and after it was built again.
func rebuilt() (old, now files) {
	r := rand.New(rand.NewPCG(1, 11))
	b := make([]byte, 40<<10)
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	copy(b, "\x7fELF\x02\x01")
	b[18] = 62
	c := bytes.Clone(b)
	for i := 4096; i < len(c)-8; i += 16 + r.IntN(64) {
		c[i] += byte(1 + r.IntN(3))
		b[i+1], c[i+1] = 0xe8, 0xe8
		c[i+2] += 24
	}
	return files{"usr/bin/a": b, "etc/same": []byte("same")},
		files{"usr/bin/a": c, "etc/same": []byte("same"), "etc/new": []byte("new")}
}

// Deltas of every version that there was since differences have a code of their own are applied.
func TestVersions(t *testing.T) {
	t.Parallel()
	old, now := rebuilt()
	target, tar := now.target(t)
	if *write {
		b, _ := made(t, target, old, Options{})
		if err := os.WriteFile("testdata/version-"+Version+".delta", b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"2", "3"} {
		b, err := os.ReadFile("testdata/version-" + version + ".delta")
		if err != nil {
			t.Fatal(err)
		}
		if !Reads(version) || !bytes.HasPrefix(b, []byte("strata delta "+version+"\n")) {
			t.Errorf("version %s is not read, or is not what it says", version)
		}
		got, err := applied(t.Context(), b, old, ApplyOptions{})
		if err != nil || !bytes.Equal(got, tar) {
			t.Errorf("version %s: other bytes, %v", version, err)
		}
		if _, err := applied(t.Context(), b[:len(b)/2], old, ApplyOptions{}); !known(err) {
			t.Errorf("version %s, cut off: %v", version, err)
		}
	}
	for _, begin := range []string{"strata delta 1\n", "strata delta 4\n", "strata delta 2 ", "tardf1\n\x00 and more"} {
		if _, err := applied(t.Context(), []byte(begin), old, ApplyOptions{}); !known(err) {
			t.Errorf("%q: %v", begin, err)
		}
	}
}
