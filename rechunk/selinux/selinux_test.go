package selinux_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/strata-oci/strata/rechunk/selinux"
)

const contexts = "etc/selinux/targeted/contexts/files/file_contexts"

// files is an image's policy: path → content.
type files map[string]string

func (f files) open(p string) (io.ReadCloser, error) {
	s, ok := f[p]
	if !ok {
		return nil, nil
	}
	return io.NopCloser(iotest.OneByteReader(strings.NewReader(s))), nil
}

var policy = files{
	"etc/selinux/config": "# comment\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
	contexts: `
/.*	system_u:object_r:default_t:s0
/usr/.*	system_u:object_r:usr_t:s0
/usr/lib/exact\.so	--	system_u:object_r:exact_t:s0
/usr/lib/.*	--	system_u:object_r:lib_t:s0
/usr/lib/dir(/.*)?	-d	system_u:object_r:dir_t:s0
/usr/lib64?/modules/[^/]+/vmlinuz	--	system_u:object_r:boot_t:s0
/usr/(share|local)/rpm(/.*)?	system_u:object_r:rpm_t:s0
/usr/x|/opt/y	system_u:object_r:odd_t:s0
/usr/none	<<none>>
`,
	contexts + ".local":     "/usr/lib/mine.*  system_u:object_r:mine_t:s0\n",
	contexts + ".subs":      "/usr/alias /usr/share\n",
	contexts + ".subs_dist": "/sysroot/rpm /usr/share/rpm\nignored\n",
}

func TestLabels(t *testing.T) {
	t.Parallel()
	l, err := selinux.Read(policy.open)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"opt/x":                   "default_t",
		"usr/bin/x":               "usr_t",
		"usr/lib/exact.so":        "exact_t", // without metacharacters, so it wins though a later rule fits
		"usr/lib/exactxso":        "lib_t",
		"usr/lib/dir/x":           "lib_t", // the later rule is for directories
		"usr/lib/modules/6/v":     "lib_t",
		"usr/lib/modules/6/a/b":   "lib_t",
		"usr/lib6/modules/6/v":    "usr_t",
		"usr/lib64/modules/6/x":   "usr_t",
		"usr/lib/mine.so":         "mine_t",
		"usr/share/rpm/x":         "rpm_t",
		"usr/alias/rpm/x":         "rpm_t",
		"usr/aliases/rpm/x":       "usr_t",
		"sysroot/rpm/x":           "rpm_t",
		"usr/x":                   "odd_t",
		"opt/y":                   "odd_t",
		"usr/none":                "<<none>>",
		"usr/lib6/modules/x":      "usr_t",
		"usr/lib/modules/vmlinuz": "lib_t",
	} {
		got, err := l.Of(path)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v; want %s", path, got, err, want)
		}
	}
	for path, want := range map[string]string{"usr/lib/modules/6.1/vmlinuz": "boot_t",
		"usr/lib6/modules/6.1/vmlinuz": "boot_t"} {
		got, err := l.Of(path)
		// The pattern's l-i-b-6 with an optional 4: usr/lib is not among what it matches.
		if err != nil || strings.Contains(got, want) != (path != "usr/lib/modules/6.1/vmlinuz") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestNoPolicy(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]files{
		"nothing": {}, "no type": {"etc/selinux/config": "SELINUX=disabled"},
		"no rules":      {"etc/selinux/config": "SELINUXTYPE=x"},
		"only comments": {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: "# none\n\n"},
	} {
		if l, err := selinux.Read(f.open); l != nil || err != nil {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	inUsr := files{}
	for p, s := range policy {
		inUsr["usr/"+p] = s
	}
	if l, err := selinux.Read(inUsr.open); l == nil || err != nil {
		t.Errorf("a policy in /usr/etc: %v, %v", l, err)
	}
}

func TestDamagedPolicy(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]files{
		"type leads out":  {"etc/selinux/config": "SELINUXTYPE=../../x"},
		"too many fields": {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: "/a -- b c"},
		"one field":       {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: "/a"},
		"no regexp":       {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: "/usr/(.* a"},
		"an endless line": {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: strings.Repeat("x", 1<<17)},
		"too many rules":  {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: strings.Repeat("/a b\n", 200_001)},
		"an endless alias": {"etc/selinux/config": "SELINUXTYPE=targeted", contexts: "/a b", contexts +
			".subs": strings.Repeat("x", 1<<17)},
	} {
		l, err := selinux.Read(f.open)
		if err == nil && l != nil {
			_, err = l.Of("usr/x")
		}
		if !errors.Is(err, selinux.ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fault := errors.New("fault")
	if _, err := selinux.Read(func(string) (io.ReadCloser, error) { return nil, fault }); !errors.Is(err, fault) ||
		errors.Is(err, selinux.ErrPolicy) {
		t.Errorf("a storage that fails: %v", err)
	}
}

func TestIsPolicy(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"etc/selinux/config": true, "usr/etc/selinux/config": true, contexts: true, "usr/" + contexts: true, contexts +
			".local": true,
		contexts + ".subs_dist": true, contexts + ".bin": false, "etc/selinux/a/b/contexts/files/file_contexts": false,
		"etc/passwd": false,
	} {
		if got := selinux.IsPolicy(p); got != want {
			t.Errorf("%s: %t", p, got)
		}
	}
}

// Whatever a rule says, what its pattern matches begins with its stem: a stem never hides a match.
func FuzzOf(f *testing.F) {
	f.Add("/usr/lib(64)?/x", "usr/lib/x")
	f.Add("/usr/lib64?/x", "usr/lib6/x")
	f.Add(`/usr/a\.b{0}|/c`, "usr/a.")
	f.Add("/é?x", "x")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(strings.Fields(pattern)) != 1 || strings.TrimSpace(pattern) != pattern || pattern[0] == '#' {
			t.Skip()
		}
		of := func(pattern string) (string, error) {
			l, err := selinux.Read(files{"etc/selinux/config": "SELINUXTYPE=targeted", contexts: pattern + " label\n"}.open)
			if l == nil || err != nil {
				return "", err
			}
			return l.Of(path)
		}
		got, err := of(pattern)
		// With a group around it, a pattern means the same and has no stem.
		want, werr := of("(?:" + pattern + ")")
		if werr == nil && (err != nil || got != want) {
			t.Errorf("%q of %q: %q, %v; want %q", pattern, path, got, err, want)
		}
	})
}
