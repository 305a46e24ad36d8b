package dpkg

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

func FuzzControl(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nSource: b (1)\n more\n\nPackage: c\n"))
	f.Add([]byte(":\n : \n\n\nPackage:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = parseControl(bytes.NewReader(b), func(c *control) error {
			if c.check() != nil {
				return nil
			}
			if name, version := c.sourcePackage(); strings.Contains(name, "/") || len(version) > installed.MaxName {
				t.Errorf("source %q version %q", name, version)
			}
			return nil
		})
	})
}

func FuzzList(f *testing.F) {
	f.Add("/.\n/usr\n/usr/bin\n/usr/bin/x\n")
	f.Add("/a\n/a\n/ab\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		check := func(file *installed.File) error {
			if file.Path == "" || len(file.Path) > installed.MaxPath || strings.Contains(file.Path, "\n") {
				t.Errorf("path %q", file.Path)
			}
			return nil
		}
		for _, parse := range []func(io.Reader, func(*installed.File) error) error{parseList, parseSums} {
			if err := parse(strings.NewReader(text), check); err != nil && !errors.Is(err, installed.ErrDamaged) {
				t.Error(err)
			}
		}
	})
}

func FuzzDiversions(f *testing.F) {
	f.Add([]byte("/a\n/b\np\n"), "/a")
	f.Add([]byte("\n\n\n"), "")
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		d, err := parseDiversions(bytes.NewReader(text))
		if got := d.path(path, "p"); err == nil && len(got) > max(len(path), installed.MaxPath) {
			t.Errorf("diverted to %d bytes", len(got))
		}
	})
}

func FuzzChangelog(f *testing.F) {
	f.Add([]byte(" -- A <a@b>  Mon, 02 Jan 2006 15:04:05 +0000\n"))
	f.Add([]byte(" -- >"))
	f.Add([]byte("a (1-1) unstable; urgency=low\n\n  * \xff\n\n -- A <a@b>  Mon, 02 Jan 2006 15:04:05 +0000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		times, entries := 0, 0
		parseChangelog(bytes.NewReader(text), false, func(installed.Entry) { times++ })
		parseChangelog(bytes.NewReader(text), true, func(e installed.Entry) {
			if entries++; len(e.Title)+len(e.Text) > installed.MaxEntry || !utf8.ValidString(e.Title+e.Text) {
				t.Errorf("%+q", e.Title+e.Text)
			}
		})
		if times > installed.MaxChanges || times != entries {
			t.Errorf("%d times, %d entries", times, entries)
		}
	})
}
