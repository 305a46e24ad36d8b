package rpmdb

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// realDatabases returns the databases that the go-rpmdb module ships for its own tests, as paths of files.
func realDatabases(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/anchore/go-rpmdb").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("the module that holds real databases is not here: %v", err)
	}
	var files []string
	for _, f := range formats() {
		found, err := filepath.Glob(filepath.Join(dir, "pkg", "testdata", "*", f.name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Skip("the go-rpmdb module has no databases")
	}
	return files
}
