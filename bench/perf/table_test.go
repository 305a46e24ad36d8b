package main

import (
	"math"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var b table
	b.add(
		compared("first", sample{4, 6}, sample{2, 2}, "floor", unit("s"), atMost(2.5, "")),
		compared("rate", sample{10}, sample{20}, "nginx", unit("MiB/s"), atLeast(0.9, "")),
		alone("memory", sample{150}, unit("MiB"), atMost(200, " MiB")),
		unmeasured("first", "a | b", "it is not installed"),
	)
	var out strings.Builder
	if err := b.write(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
| work   | Strata               | peer                                      | ratio              | goal              |
| ------ | -------------------- | ----------------------------------------- | ------------------ | ----------------- |
| first  | 5.00 s (4.00 s–6.00 s) | floor: 2.00 s (2.00 s–2.00 s)             | 2.50 (2.00–3.00) × | ≤ 2.5: met        |
| rate   | 10.0 MiB/s           | nginx: 20.0 MiB/s                         | 0.50 ×             | ≥ 0.9: **missed** |
| memory | 150 MiB              | –                                         | –                  | ≤ 200 MiB: met    |
| first  | –                    | a \| b: not measured, it is not installed | –                  | –                 |
`, "\n")
	squeeze := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "-", "")), " ") }
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	widths := map[int]bool{}
	for line := range strings.Lines(out.String()) {
		widths[len([]rune(line))] = true
	}
	if len(widths) != 1 {
		t.Errorf("columns are not aligned:\n%s", out.String())
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		goal goal
		v    float64
		want string
	}{
		{goal{}, 1, "–"}, {atMost(1, ""), 1, "≤ 1: met"}, {atLeast(3, " ×"), 2.9, "≥ 3 ×: **missed**"},
		{atMost(1, ""), math.NaN(), "≤ 1"},
	} {
		if got := c.goal.judge(c.v); got != c.want {
			t.Errorf("%v judges %v as %q, want %q", c.goal, c.v, got, c.want)
		}
	}
}
