package main

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSample(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in     sample
		median float64
		text   string
	}{
		{sample{3}, 3, "3.00"},
		{sample{3, 1, 2}, 2, "2.00 (1.00–3.00)"},
		{sample{4, 1, 2, 3}, 2.5, "2.50 (1.00–4.00)"},
		{nil, math.NaN(), "not measured"},
	} {
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if got := c.in.median(); !same(got, c.median) {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.median)
		}
		if got := c.in.text(digits); got != c.text {
			t.Errorf("%v is written %q, want %q", c.in, got, c.text)
		}
	}
	in := sample{3, 1, 2}
	in.median()
	if diff := cmp.Diff(sample{3, 1, 2}, in); diff != "" {
		t.Errorf("median changed its sample: %s", diff)
	}
	if diff := cmp.Diff(sample{2, 0.5}, sample{4, 1, 9}.over(sample{2, 2})); diff != "" {
		t.Errorf("over: %s", diff)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0.00", 0.012: "0.0120", 1.234: "1.23", 12.34: "12.3", 1234: "1234",
		-5: "-5.00"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestParseBenchmarks(t *testing.T) {
	t.Parallel()
	const out = `goos: linux
BenchmarkMake/first-2         	       7	 164105601 ns/op	        40.00 layers	22531288 B/op	   44868 allocs/op
BenchmarkMake/first-2         	       7	 164105603 ns/op	        40.00 layers	22531290 B/op	   44868 allocs/op
PASS
`
	want := map[string]map[string]sample{"BenchmarkMake/first": {
		"ns/op": {164105601, 164105603}, "layers": {40, 40}, "B/op": {22531288, 22531290}, "allocs/op": {44868, 44868},
	}}
	if diff := cmp.Diff(want, parseBenchmarks(out)); diff != "" {
		t.Error(diff)
	}
}
