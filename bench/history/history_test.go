package history

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRows(t *testing.T) {
	t.Parallel()
	err := rows([]byte("head\tline\none\n"), 2, func([]string) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	c := New()
	for n, v := range []string{"1", "2", "3", "4", "5"} {
		c.Branches["b"] = append(c.Branches["b"], Release{
			Date: time.Unix(int64(n)*86400, 0), Packages: map[string]string{"kernel": v, "glibc": v, "vim": v},
		})
	}
	for _, x := range []struct {
		name   string
		series Series
		want   []map[string]string
	}{
		{"every second day, two of them", Series{Branch: "b", From: time.Unix(86400, 0), Every: 48 * time.Hour, Count: 2},
			[]map[string]string{{"kernel": "2", "glibc": "2", "vim": "2"}, {"kernel": "4", "glibc": "4", "vim": "4"}}},
		{"pinned", Series{Branch: "b", Count: 2, Pinned: true},
			[]map[string]string{{"kernel": "1", "glibc": "1", "vim": "1"}, {"kernel": "1", "glibc": "1", "vim": "2"}}},
		{"no such branch", Series{Branch: "c", Count: 2}, nil},
	} {
		var got []map[string]string
		for _, r := range x.series.Releases(c) {
			got = append(got, r.Packages)
		}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%s: %s", x.name, d)
		}
	}
}

func TestContentsChangeByKind(t *testing.T) {
	t.Parallel()
	c := New()
	c.Size["vim"] = 400 * 40 << 10
	f := NewFiles(c)
	old := f.Contents("vim", "1")
	next := f.Contents("vim", "2")
	if d := cmp.Diff(next, f.Contents("vim", "2")); d != "" {
		t.Errorf("the same version differs: %s", d)
	}
	changed, all := map[Kind]float64{}, map[Kind]float64{}
	for i, file := range f.Of("vim") {
		all[file.Kind]++
		if old[i] != next[i] {
			changed[file.Kind]++
		}
	}
	for kind, want := range map[Kind]float64{Program: 1, Data: 0.3, Text: 0.1} {
		if got := changed[kind] / all[kind]; got < want-0.1 || got > want+0.1 {
			t.Errorf("kind %d: %.2f change, want about %.1f", kind, got, want)
		}
	}
}
