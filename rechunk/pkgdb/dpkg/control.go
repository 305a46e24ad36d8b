package dpkg

import (
	"bytes"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// maxLine is the longest line of a control file in bytes; real ones (Depends, Provides) stay below 100 KB.
const maxLine = 1 << 20

// control is what is read of one paragraph of a control file (deb822).
type control struct {
	name, status, version, arch, source, multiArch string
}

// field returns where the value of a field goes, or nil for fields that are not read. Names are not case-sensitive.
func (c *control) field(name []byte) *string {
	for _, f := range [...]struct {
		name string
		to   *string
	}{
		{"Package", &c.name}, {"Status", &c.status}, {"Version", &c.version},
		{"Architecture", &c.arch}, {"Source", &c.source}, {"Multi-Arch", &c.multiArch},
	} {
		if len(f.name) == len(name) && strings.EqualFold(f.name, string(name)) {
			return f.to
		}
	}
	return nil
}

// installed reports whether files of the package can be in the tree: all states of dpkg but not-installed have some. A
// paragraph without a state is of a status.d directory.
func (c *control) installed() bool {
	return c.name != "" && !strings.HasSuffix(c.status, " not-installed")
}

// sourcePackage returns the source package's name and version, which the Source field names where they differ from the
// package's own: "glibc" or "glibc (2.41-12)".
func (c *control) sourcePackage() (name, version string) {
	if c.source == "" {
		return c.name, c.version
	}
	name, rest, _ := strings.Cut(c.source, " ")
	if v, ok := strings.CutPrefix(rest, "("); ok {
		if v, ok = strings.CutSuffix(v, ")"); ok && v != "" {
			return name, v
		}
	}
	return name, c.version
}

// check returns an error when a name cannot be one, which also keeps slashes out of the paths that are made of it.
func (c *control) check() error {
	for _, s := range []string{c.name, c.version, c.arch, c.source} {
		if len(s) > installed.MaxName || strings.ContainsAny(s, "/\x00") {
			return installed.Damaged("package %.40q: nonsensical field %.40q", c.name, s)
		}
	}
	if c.name == "" || strings.HasPrefix(c.name, ".") {
		return installed.Damaged("package name %.40q", c.name)
	}
	return nil
}

// parseControl hands every paragraph to take, which must not keep it.
func parseControl(r io.Reader, take func(*control) error) error {
	var c control
	empty := true
	flush := func() error {
		if empty {
			return nil
		}
		err := take(&c)
		c, empty = control{}, true
		return err
	}
	err := parseLines(r, func(line []byte) error {
		if len(line) == 0 {
			return flush()
		}
		empty = false
		if line[0] == ' ' || line[0] == '\t' || line[0] == '#' {
			return nil // the rest of a value that is not read
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if to := c.field(name); ok && to != nil {
			value = bytes.TrimSpace(value)
			*to = string(value[:min(len(value), installed.MaxName+1)]) // which is too long for check already
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
