package selinux_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/selinux"
)

// BenchmarkOf labels the files of this machine's /usr by the policy in the file that STRATA_POLICY names, which is in the
// format of file_contexts; Debian's selinux-policy-default has 5,600 rules.
func BenchmarkOf(b *testing.B) {
	rules, err := os.ReadFile(os.Getenv("STRATA_POLICY"))
	if err != nil {
		b.Skip("STRATA_POLICY names no policy")
	}
	policy := files{"etc/selinux/config": "SELINUXTYPE=targeted", contexts: string(rules)}
	open := func(p string) (io.ReadCloser, error) {
		if s, ok := policy[p]; ok {
			return io.NopCloser(strings.NewReader(s)), nil
		}
		return nil, nil
	}
	var paths []string
	err = filepath.WalkDir("/usr", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && len(paths) < 20_000 {
			paths = append(paths, strings.TrimPrefix(p, "/"))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l, err := selinux.Read(open)
		if err != nil || l == nil {
			b.Fatal(l, err)
		}
		for _, p := range paths {
			if _, err := l.Of(p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(paths)), "ns/path")
}
