package rpmdb

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
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

// openDatabase opens a database with its log.
func openDatabase(t testing.TB, file string) *database {
	t.Helper()
	db := &database{}
	t.Cleanup(db.close)
	for _, f := range []struct {
		name string
		to   *io.ReaderAt
		size *int64
	}{{file, &db.main, &db.size}, {file + logSuffix, &db.log, &db.logSize}} {
		r, err := os.Open(f.name)
		if errors.Is(err, fs.ErrNotExist) && f.to == &db.log {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := r.Stat()
		if err != nil {
			t.Fatal(err)
		}
		*f.to, *f.size = r, info.Size()
	}
	return db
}

// inMemory makes a database of its bytes.
func inMemory(db []byte) *database { return &database{main: bytes.NewReader(db), size: int64(len(db))} }
