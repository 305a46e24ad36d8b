package rpmdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// copyDatabase copies a database to a directory of its own, since rpm writes lock files beside it, and returns that.
func copyDatabase(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// summary turns a line of rpm's output, "NAME SOURCERPM BUILDTIME TIMES FILES", into the form that the test compares.
func summary(t *testing.T, line string) string {
	t.Helper()
	f := strings.SplitN(line, " ", 5)
	if len(f) != 5 {
		t.Fatalf("rpm printed %q", line)
	}
	source, version, _ := splitSourceRPM(f[1])
	var times []int64
	for s := range strings.SplitSeq(f[3], ",") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			times = append(times, n)
		}
	}
	times = installed.Newest(times)
	files := strings.Count(f[4], "\t")
	if strings.HasPrefix(f[4], "(none)") {
		files = 0
	}
	return fmt.Sprint(f[0], " ", source, " ", version, " ", f[2], " ", times, " ", files)
}
