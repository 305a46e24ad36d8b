package selinux_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/selinux"
)

// allocated returns how many bytes a function allocates, which bounds what it has at a time.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeat makes lines of a format with their number in it.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestBudgets has policies that are over one budget each. Each ends with an error that names it, and takes little memory.
func TestBudgets(t *testing.T) {
	long := "/usr/" + strings.Repeat("z", 4090)
	for name, tc := range map[string]struct {
		rules, subs string
		path        string
		want        string
	}{
		"bytes": {rules: strings.Repeat("/a"+strings.Repeat(" ", 1000)+"b\n", 4200),
			want: "more than 4194304 bytes"},
		"rules":            {rules: repeat(selinux.MaxRules+1, "/a%d b\n"), want: "more than 32768 rules"},
		"pattern":          {rules: "/" + strings.Repeat("a", selinux.MaxPattern) + " b", want: "at most 1024"},
		"aliases":          {rules: "/a b", subs: repeat(selinux.MaxAliases+1, "/a%d /b\n"), want: "more than 1024 aliases"},
		"repetition":       {rules: "/.*(" + strings.Repeat("a", 900) + "){1000} b", want: "more than 4096 instructions"},
		"repetitions":      {rules: "/.*((a{1000}){1000}){1000} b", want: "invalid repeat count"},
		"many repetitions": {rules: "/.*" + strings.Repeat("(a{1000})?", 90) + " b", want: "more than 4096 instructions"},
		"class of Unicode": {rules: "/.*" + strings.Repeat(`\pL`, 300) + " b", want: "classes of Unicode"},
		"letters' cases":   {rules: `/.*(?i)[\x00-\x{10ffff}] b`, want: "flags"},
		"programs":         {rules: repeat(2000, "/.*(a{400}|b{400}|c%d) b\n"), want: "more than 524288 instructions"},
		"steps of a path": {
			rules: repeat(3000, "/usr/(a{100}|b{100}|c%d|z*y)? b\n"), path: long, want: "more than 1073741824 steps",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := tc.path
			if path == "" {
				path = "usr/x"
			}
			var err error
			n := allocated(func() {
				var l *selinux.Labels
				if l, err = selinux.Read(quick(tc.rules, tc.subs)); l != nil {
					_, err = l.Of(strings.TrimPrefix(path, "/"))
				}
			})
			if !errors.Is(err, selinux.ErrPolicy) || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
			if n > 150<<20 {
				t.Errorf("%d MiB allocated", n>>20)
			}
		})
	}
}

// TestStepsOfManyPaths asks for paths until the steps of all together are spent: for rules that match nothing, and for
// lookups alone.
func TestStepsOfManyPaths(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]string{
		"patterns": "/usr/(a{300}|b{300}|c{100})[ab] b\n",
		"lookups":  repeat(selinux.MaxRules, "/usr/.*x%d b\n"),
	} {
		l, err := selinux.Read(quick(rules, ""))
		if err != nil {
			t.Fatal(name, err)
		}
		asked := 0
		for ; err == nil && asked < 10_000; asked++ {
			_, err = l.Of("usr/" + strings.Repeat("z", 4000))
		}
		if !errors.Is(err, selinux.ErrPolicy) || !strings.Contains(err.Error(), "steps") {
			t.Errorf("%s: %d paths: %v", name, asked, err)
		}
	}
}

// quick serves a policy.
func quick(rules, subs string) selinux.Open {
	policy := files{"etc/selinux/config": "SELINUXTYPE=targeted", contexts: rules, contexts + ".subs": subs}
	return func(p string) (io.ReadCloser, error) {
		s, ok := policy[p]
		if !ok {
			return nil, nil
		}
		return io.NopCloser(strings.NewReader(s)), nil
	}
}
