package tree

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func FuzzCleanPath(f *testing.F) {
	for _, name := range []string{"", ".", "/", "a", "./a//b/", "/a/b", "a/./b", "..", "a/..", "...", "a\x00",
		strings.Repeat("a/", 40), strings.Repeat("b", 200)} {
		f.Add(name)
	}
	lim := Limits{Path: 100, Depth: 10}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := CleanPath(name, lim)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrLimit) {
				t.Errorf("%v", err)
			}
			return
		}
		want := strings.TrimPrefix(path.Clean("/"+name), "/")
		if want == "" {
			want = "."
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
		if again, err := CleanPath(got, lim); err != nil || again != got {
			t.Errorf("%q gives %q and %v", got, again, err)
		}
		if dir, base := split(got); got != "." && join(dir, base) != got {
			t.Errorf("%q is split into %q and %q", got, dir, base)
		}
	})
}

func TestCleanPathAllocates(t *testing.T) {
	lim := Limits{}.OrDefault()
	if n := testing.AllocsPerRun(100, func() { _, _ = CleanPath("usr/lib/modules/6.1/vmlinuz", lim) }); n > 0 {
		t.Errorf("%v allocations for a clean name", n)
	}
}
