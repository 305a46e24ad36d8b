package chunkstore

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

func TestRecordNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, want string }{
		{"ghcr.io/ublue-os/bluefin:stable", "ghcr.io_2fublue-os_2fbluefin_3astable__key"},
		{"A_b", "_41_5fb__key"},
		{"..", "..__key"},
		{strings.Repeat("x", 135), strings.Repeat("x", 135) + "__key"},
		{strings.Repeat("x", 136), strings.Repeat("x", 70) +
			"__adece145ca1f874fb0b400cedffbde21b3aa2e061a3cc60313fb4139b3649026"},
	} {
		file, err := fileOf("tag", c.key)
		if err != nil {
			t.Errorf("%.60q: %v", c.key, err)
		}
		if got := strings.TrimPrefix(file.path, "/v1/records/tag/"); got != c.want {
			t.Errorf("%.60q is kept as %q, want %q", c.key, got, c.want)
		}
	}
}

// checkKey checks what must hold for every key: its name fits every backend and leads back to it alone.
func checkKey(t *testing.T, key string) {
	t.Helper()
	escaped := escapeKey(key)
	if back, err := unescapeKey(escaped); err != nil || back != key {
		t.Errorf("%q escaped is %q, back %q, %v", key, escaped, back, err)
	}
	file, err := fileOf("kind", key)
	if valid := len(key) >= 1 && len(key) <= MaxKeyBytes; (err == nil) != valid {
		t.Fatalf("%q: %v", key, err)
	} else if !valid {
		return
	}
	name := path.Base(file.path)
	if !storagedriver.PathRegexp.MatchString(file.path) || len(name) > 140 || name != strings.ToLower(name) {
		t.Errorf("%q has the name %q", key, name)
	}
	back, long, ok := parseName(name)
	if !ok || long != (file.header != "") || !long && back != key {
		t.Errorf("%q has the name %q, which is read as %q, %t, %t", key, name, back, long, ok)
	}
	if long && file.header != escaped+"\n" {
		t.Errorf("%q has the header %q", key, file.header)
	}
}

func TestRecordKeyProperties(t *testing.T) {
	t.Parallel()
	fits := func(key string) bool { checkKey(t, key); return !t.Failed() }
	if err := quick.Check(fits, nil); err != nil {
		t.Error(err)
	}
	fitsBytes := func(b []byte) bool { return fits(strings.Repeat(string(b), 3)) }
	if err := quick.Check(fitsBytes, nil); err != nil {
		t.Error(err)
	}
	// No name is another's beginning, whatever the case; keys that differ little are likeliest to clash.
	near := func(a string, b byte, n uint8) bool {
		keys := []string{a + "x", a + string([]byte{b}), a + string([]byte{b ^ 32}), a + "x" + string([]byte{b}),
			strings.Repeat(a+"x", int(n%8)+2)}
		slices.Sort(keys)
		return namesApart(t, slices.Compact(keys))
	}
	if err := quick.Check(near, nil); err != nil {
		t.Error(err)
	}
}

func namesApart(t *testing.T, keys []string) bool {
	for i, a := range keys {
		for j, b := range keys {
			fa, errA := fileOf("kind", a)
			fb, errB := fileOf("kind", b)
			if errA != nil || errB != nil || i == j {
				continue
			}
			if strings.HasPrefix(strings.ToLower(fa.path), strings.ToLower(fb.path)) {
				t.Logf("%q and %q have the names %q and %q", a, b, fa.path, fb.path)
				return false
			}
		}
	}
	return true
}

func FuzzRecordKey(f *testing.F) {
	for _, key := range []string{"", "a", "A/b:c", "_5f", "__key", "..", "\xff", strings.Repeat("_", 46),
		strings.Repeat("/", 5000)} {
		f.Add(key, "a")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		checkKey(t, a)
		if a != b && !namesApart(t, []string{a, b}) {
			t.Error("names clash")
		}
	})
}

// FuzzParseName feeds names that others put into the store.
func FuzzParseName(f *testing.F) {
	for _, name := range []string{
		"a__key", "__key", "_61__key", "_4__key", "A__key", "_2F__key", "_2f", "lost+found", ".", "a__" +
			strings.Repeat("0", 64),
		"__" + strings.Repeat("f", 64), "_2__" + strings.Repeat("0", 64), strings.Repeat("a", 300) + "__key",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key, long, ok := parseName(name)
		if !ok || long {
			return
		}
		file, err := fileOf("kind", key)
		if err != nil || path.Base(file.path) != name {
			t.Errorf("%q is read as %q, which has the name %q, %v", name, key, file.path, err)
		}
	})
}

func FuzzDigestPath(f *testing.F) {
	for _, p := range []string{
		"/v1/blobs/sha256/ab/" + strings.Repeat("ab", 32), "/v1/blobs/sha512/ab/" + strings.Repeat("ab", 64),
		"/v1/blobs/sha256/aa/" + strings.Repeat("ab", 32), "/v1/blobs/md5/aa/x", "/v1/blobs", "/v1/blobs/sha256/ab/cd/../x",
		"",
	} {
		f.Add(p)
	}
	exact := regexp.MustCompile(`^/v1/blobs/(sha256/../[0-9a-f]{64}|sha512/../[0-9a-f]{128})$`)
	f.Fuzz(func(t *testing.T, p string) {
		d, ok := parseBlobPath(p)
		if ok && (!exact.MatchString(p) || d.Validate() != nil || blobPath(d) != p) {
			t.Errorf("%q is read as %q", p, d)
		}
	})
}
