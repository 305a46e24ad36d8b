package layer_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

var errMalformed = errors.New("malformed pax extension")

// tarCrate reads PAX records as bootc does for ostree (crate tar 0.4.46: pax.rs, and copy_entry of bootc's write.rs): cut at
// line breaks, up to an empty line; a length that is another one and a key that is not UTF-8 are errors.
func tarCrate(records string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.SplitSeq(records, "\n") {
		if line == "" {
			break
		}
		length, rest, _ := strings.Cut(line, " ")
		key, value, ok := strings.Cut(rest, "=")
		if n, err := strconv.Atoi(length); err != nil || n != len(line)+1 || !ok {
			return nil, errMalformed
		}
		if !utf8.ValidString(key) {
			return nil, errMalformed
		}
		out[key] = value
	}
	return out, nil
}

// tarCore reads them as bootc does for composefs (crate tar-core 0.1.0): by their length, and no more than 1 MiB.
func tarCore(records string) (map[string]string, error) {
	out := map[string]string{}
	if len(records) > 1<<20 {
		return nil, errMalformed
	}
	for records != "" {
		length, _, _ := strings.Cut(records, " ")
		n, err := strconv.Atoi(length)
		if err != nil || n > len(records) || n < len(length)+2 || records[n-1] != '\n' {
			return nil, errMalformed
		}
		key, value, ok := strings.Cut(records[len(length)+1:n-1], "=")
		if !ok || !utf8.ValidString(key) {
			return nil, errMalformed
		}
		out[key] = value
		records = records[n:]
	}
	return out, nil
}

// records are the PAX records of a layer's one file.
func records(tb testing.TB, layer []byte) string {
	tb.Helper()
	plain, err := rechunktest.Unpack(layer)
	if err != nil {
		tb.Fatal(err)
	}
	for len(plain) >= 512 && plain[0] != 0 {
		size, err := strconv.ParseInt(string(bytes.Trim(plain[124:136], "\x00 ")), 8, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if plain[156] == 'x' {
			return string(plain[512 : 512+size])
		}
		plain = plain[512+(size+511)/512*512:]
	}
	return ""
}

// What is not Unreadable comes out of a layer as it went in, in both of bootc's readers; what is does not.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200)
	for name, c := range map[string]struct {
		path, target string
		xattr        tree.Xattr
		unreadable   bool
	}{
		"plain":                        {xattr: tree.Xattr{Name: "user.a", Value: "x"}},
		"no value":                     {xattr: tree.Xattr{Name: "user.a"}},
		"a line break in the value":    {xattr: tree.Xattr{Name: "security.ima", Value: "\x03\n\x02"}, unreadable: true},
		"the value is a line break":    {xattr: tree.Xattr{Name: "user.a", Value: "\n"}, unreadable: true},
		"a value that looks like more": {xattr: tree.Xattr{Name: "user.a", Value: "x\n15 user.b=evil"}, unreadable: true},
		"a carriage return":            {xattr: tree.Xattr{Name: "user.a", Value: "\r\v\f\x85"}},
		"NUL in the value":             {xattr: tree.Xattr{Name: "user.a", Value: "\x00a\x00"}},
		"= in the value":               {xattr: tree.Xattr{Name: "user.a", Value: "=a=b="}},
		"a value that is not UTF-8":    {xattr: tree.Xattr{Name: "user.a", Value: "\xff\xfe"}},
		"= in the name":                {xattr: tree.Xattr{Name: "user.a=b", Value: "x"}, unreadable: true},
		"a line break in the name":     {xattr: tree.Xattr{Name: "user.a\nb", Value: "x"}, unreadable: true},
		"a space in the name":          {xattr: tree.Xattr{Name: "user.a b", Value: "x"}},
		"a name that is not ASCII":     {xattr: tree.Xattr{Name: "user.é", Value: "x"}},
		"a name that is not UTF-8":     {xattr: tree.Xattr{Name: "user.\xff", Value: "x"}, unreadable: true},
		"64 KiB":                       {xattr: tree.Xattr{Name: "user.a", Value: strings.Repeat("x", 64<<10)}},
		"just 1 MiB":                   {xattr: tree.Xattr{Name: "user.a", Value: strings.Repeat("x", 1<<20-29)}},
		"more than 1 MiB": {xattr: tree.Xattr{Name: "user.a", Value: strings.Repeat("x", 1<<20-28)},
			unreadable: true},
		"a line break in the path":      {path: "a\nb", xattr: tree.Xattr{Name: "user.a", Value: "x"}},
		"and not ASCII":                 {path: "é\nb"},
		"and long":                      {path: long + "\n" + long},
		"a path that is not UTF-8":      {path: "a\xff"},
		"a line break in a link":        {target: "a\nb", xattr: tree.Xattr{Name: "user.a", Value: "x"}},
		"and long, too":                 {target: long + "\n" + long},
		"a line break in path and link": {path: "é\n" + long, target: "é\n" + long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := tree.Entry{Path: "f", Kind: tree.Regular, Mode: 0o644}
			if c.path != "" {
				e.Path = c.path
			}
			if c.target != "" {
				e.Kind, e.Target = tree.Symlink, c.target
			}
			if c.xattr.Name != "" {
				e.Xattrs = []tree.Xattr{c.xattr}
			}
			why := layer.Unreadable(&e)
			if (why != "") != c.unreadable {
				t.Fatalf("got %q", why)
			}
			if strings.Contains(c.xattr.Name, "=") || len(c.xattr.Value) > 1<<20-29 {
				return // there is no way to write it
			}
			full := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}, e}}
			contents := Contents{}
			full.Entries[1].Digest = contents.Add("")
			b, _ := write(t, full, all(full), contents, layer.Gzip)
			want := map[string]string{}
			for _, x := range e.Xattrs {
				want["SCHILY.xattr."+x.Name] = x.Value
			}
			got := records(t, b)
			if read := reads(tarCrate, got, want) && reads(tarCore, got, want); read == c.unreadable {
				t.Errorf("bootc reads it: %t", read)
			}
		})
	}
}

// reads reports whether a reader gets these attributes, and no names.
func reads(read func(string) (map[string]string, error), records string, want map[string]string) bool {
	got, err := read(records)
	if err != nil || len(got) != len(want) {
		return false
	}
	for k, v := range want {
		if got[k] != v {
			return false
		}
	}
	return true
}
