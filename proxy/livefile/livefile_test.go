package livefile_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/livefile"
)

// fixture is a pair of files whose contents belong together, as a certificate and its key do.
type fixture struct {
	t    *testing.T
	dir  string
	now  time.Time
	log  bytes.Buffer
	file *livefile.File[string]
}

func open(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), now: time.Unix(1000, 0)}
	f.write("a", "1")
	f.write("b", "1")
	var err error
	f.file, err = livefile.New([]string{f.path("a"), f.path("b")}, func(c [][]byte) (string, error) {
		if !bytes.Equal(c[0], c[1]) {
			return "", errors.New("they do not fit")
		}
		return string(c[0]), nil
	}, livefile.Options{What: "pair", Now: func() time.Time { return f.now },
		Logger: slog.New(slog.NewTextHandler(&f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

// write replaces a file, so that it is another one even where clocks are coarse.
func (f *fixture) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name)+".new", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path(name)+".new", f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) want(value string) {
	f.t.Helper()
	if got := f.file.Get(); got != value {
		f.t.Errorf("got %q, want %q; log %s", got, value, f.log.String())
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.write("a", "2")
	f.write("b", "2")
	f.want("1") // it was looked at a moment ago
	f.now = f.now.Add(2 * time.Second)
	f.want("2")
}

// A pair that does not fit, or a file that is gone, is told of once, and the one before stays until there is a good one.
func TestBroken(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.write("a", "2")
	for range 3 {
		f.now = f.now.Add(2 * time.Second)
		f.want("1")
	}
	if n := strings.Count(f.log.String(), "cannot be used"); n != 1 {
		t.Errorf("told %d times: %s", n, f.log.String())
	}
	if err := os.Remove(f.path("b")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.now = f.now.Add(2 * time.Second)
		f.want("1")
	}
	if n := strings.Count(f.log.String(), "cannot be used"); n != 2 {
		t.Errorf("told %d times: %s", n, f.log.String())
	}
	f.write("b", "2")
	f.now = f.now.Add(2 * time.Second)
	f.want("2")
}

// Kubernetes mounts secrets as links to a directory behind a link, which it moves.
func TestSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "key"), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link("..data/key", "key")
	now := time.Unix(1000, 0)
	f, err := livefile.New([]string{filepath.Join(dir, "key")},
		func(c [][]byte) (string, error) { return string(c[0]), nil },
		livefile.Options{Now: func() time.Time { return now }})
	if err != nil || f.Get() != "v1" {
		t.Fatal(err)
	}
	link("v2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if got := f.Get(); got != "v2" {
		t.Errorf("got %q", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, make([]byte, livefile.Limit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file", dir: "no regular file", long: "longer than the limit",
	} {
		_, err := livefile.New([]string{path}, func([][]byte) (int, error) { return 0, nil }, livefile.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
