package noise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// judged judges two contents.
func judged(t testing.TB, k Kind, p string, old, now []byte) Verdict {
	t.Helper()
	return judgedWithin(t, DefaultLimits(), k, p, old, now)
}

func judgedWithin(t testing.TB, lim Limits, k Kind, p string, old, now []byte) Verdict {
	t.Helper()
	v, err := NewJudge(lim).Compare(t.Context(), k, p, bytes.NewReader(old), bytes.NewReader(now))
	if err != nil {
		t.Fatal(err)
	}
	back, err := NewJudge(lim).Compare(t.Context(), k, p, bytes.NewReader(now), bytes.NewReader(old))
	if err != nil || back.Same != v.Same {
		t.Errorf("%v one way, %v the other, %v", v, back, err)
	}
	if v.What == "" {
		t.Error("a verdict without a word")
	}
	return v
}

func TestInitramfsNoise(t *testing.T) {
	t.Parallel()
	early, rest := system()
	old := initrd(t, early, rest)
	for name, tc := range map[string]struct {
		now  []byte
		what string
	}{
		"times and inodes": {initrd(t, aged(early, 7), aged(rest, 9)),
			"times of 9 of 11 members, inode numbers of 9 of 11 members"},
		"one time": {initrd(t, early, edited(rest, 2, func(m *member) { m.mtime = 1 })),
			"times of 1 of 11 members"},
		"another gzip level": {slices.Concat(archive(early...), make([]byte, 100),
			gz(t, archive(rest...), 1, gzip.Header{})), "how it is stored"},
		"zeros": {slices.Concat(archive(early...), make([]byte, 512), gz(t, archive(rest...), 6, gzip.Header{}),
			make([]byte, 20)),
			"how it is stored"},
	} {
		if v := judged(t, Initramfs, "boot/initrd", old, tc.now); !v.Same || v.What != tc.what {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestAnythingElseEndsIt changes one thing of one member at a time.
func TestAnythingElseEndsIt(t *testing.T) {
	t.Parallel()
	early, rest := system()
	old := initrd(t, early, rest)
	edits := map[string]func(*member){
		"name": func(m *member) { m.name += "x" }, "mode": func(m *member) { m.mode ^= 0o4000 },
		"owner": func(m *member) { m.uid++ }, "group": func(m *member) { m.gid++ },
		"links": func(m *member) { m.links++ }, "device": func(m *member) { m.minor++ },
		"number": func(m *member) { m.rminor++ }, "checksum": func(m *member) { m.check++ },
		"content": func(m *member) { m.data += "x" }, "type": func(m *member) { m.mode ^= 0o060000 },
	}
	for name, edit := range edits {
		for i := range rest {
			if v := judged(t, Initramfs, "boot/initrd", old, initrd(t, early, edited(rest, i, edit))); v.Same {
				t.Errorf("%s of %s: %+v", name, rest[i].name, v)
			}
		}
		if v := judged(t, Initramfs, "boot/initrd", old, initrd(t, edited(early, 1, edit), rest)); v.Same {
			t.Errorf("%s of the early part: %+v", name, v)
		}
	}
	relinked := slices.Clone(rest)
	relinked[4].ino, relinked[5].ino = 14, 13 // a with c, b with d
	torn := edited(rest, 6, func(m *member) { m.ino = 15 })
	swapped := slices.Clone(rest)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for name, now := range map[string][]byte{
		"order": initrd(t, early, swapped), "other links": initrd(t, early, relinked), "a link torn": initrd(t, early, torn),
		"one less": initrd(t, early, rest[:6]), "one more": initrd(t, early, append(slices.Clone(rest), rest[1])),
		"another decoder": slices.Concat(archive(early...), make([]byte, 100), zst(t, archive(rest...))),
		"not compressed":  slices.Concat(archive(early...), archive(rest...)),
		"one archive":     gz(t, archive(slices.Concat(early, rest)...), 6, gzip.Header{}),
		"moved":           initrd(t, slices.Concat(early, rest[:1]), rest[1:]),
		"two archives": slices.Concat(archive(early...),
			gz(t, slices.Concat(archive(rest[:2]...), archive(rest[2:]...)), 6, gzip.Header{})),
		"something after":  append(initrd(t, early, rest), 'x'),
		"something before": append([]byte("x"), initrd(t, early, rest)...),
		"cut":              initrd(t, early, rest)[:300], "nothing": nil, "zeros": make([]byte, 1000),
		"crc archives": bytes.ReplaceAll(old, []byte("070701"), []byte("070702")),
	} {
		if v := judged(t, Initramfs, "boot/initrd", old, now); v.Same {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestAnyOtherByteEndsIt changes each byte of a chain of bare archives: only digits of times, and of inode numbers of files
// with one name, may be others.
func TestAnyOtherByteEndsIt(t *testing.T) {
	t.Parallel()
	early, rest := system()
	old := slices.Concat(archive(early...), make([]byte, 8), archive(rest...))
	free := map[int]bool{}
	at := 0
	note := func(members []member) {
		for _, m := range append(slices.Clone(members), member{name: trailer, links: 1}) {
			for k := range 8 {
				free[at+6+8*cpioTime+k] = true
				free[at+6+8*cpioInode+k] = m.links < 2 || m.mode&0o170000 == 0o040000
			}
			at += len(m.bytes("070701"))
		}
	}
	note(early)
	at += 8
	note(rest)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range old {
		now := bytes.Clone(old)
		for now[i] == old[i] {
			now[i] = "0123456789abcdef"[r.IntN(16)]
			if !free[i] && r.IntN(2) == 0 {
				now[i] = byte(r.IntN(256))
			}
		}
		if v := judged(t, Initramfs, "boot/initrd", old, now); v.Same != free[i] {
			t.Errorf("byte %d, %q for %q: %+v", i, now[i], old[i], v)
		}
	}
}

// TestChainsDoNotDrift makes random rebuilds of rebuilds, of which some change more than noise. Each is judged with the last
// that was kept; whatever is kept equals the first one, too, if nothing but noise changed in between.
func TestChainsDoNotDrift(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	early, rest := system()
	for range 20 {
		now := slices.Clone(rest)
		first := initrd(t, early, now)
		kept, changed := first, false
		for range 20 {
			i := r.IntN(len(now))
			switch r.IntN(12) {
			case 0:
				now, changed = edited(now, i, func(m *member) { m.data += "x" }), true
			case 1:
				now, changed = edited(now, i, func(m *member) { m.uid++ }), true
			default:
				now = edited(now, i, func(m *member) { m.mtime = r.Uint32() })
				now = aged(now, 1+r.Uint32N(100))
			}
			next := initrd(t, early, now)
			if v := judged(t, Initramfs, "boot/initrd", kept, next); !v.Same {
				kept = next
			}
			if v := judged(t, Initramfs, "boot/initrd", first, next); v.Same == changed ||
				changed == bytes.Equal(kept, first) {
				t.Fatalf("changed %v, %+v", changed, v)
			}
		}
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("a manual page, which is much the same all over. ", 3000))
	other := bytes.Replace(text, []byte("manual"), []byte("Manual"), 1)
	named := gz(t, text, 6, gzip.Header{Name: "page.1"})
	head := func(h gzip.Header) []byte { return gz(t, text, 6, h) }
	for _, tc := range []struct {
		path     string
		old, now []byte
		same     bool
	}{
		{"a.gz", head(gzip.Header{}), gz(t, text, 1, gzip.Header{}), true},
		{"a.gz", head(gzip.Header{}), head(gzip.Header{ModTime: time.Unix(77, 0)}), true},
		{"a.gz", head(gzip.Header{}), head(gzip.Header{OS: 3}), true},
		{"a.gz", named, gz(t, text, 1, gzip.Header{Name: "page.1"}), true},
		{"a.gz", named, head(gzip.Header{}), false},
		{"a.gz", named, head(gzip.Header{Name: "page.2"}), false},
		{"a.gz", named, head(gzip.Header{Comment: "page.1"}), false},
		{"a.gz", head(gzip.Header{Extra: []byte("BC\x02\x00xx")}),
			gz(t, text, 1, gzip.Header{Extra: []byte("BC\x02\x00xx")}), false},
		{"a.gz", head(gzip.Header{}), gz(t, other, 6, gzip.Header{}), false},
		{"a.gz", slices.Concat(head(gzip.Header{}), named), slices.Concat(gz(t, text, 1, gzip.Header{}), named), true},
		{"a.gz", slices.Concat(head(gzip.Header{}), named), slices.Concat(named, head(gzip.Header{})), false},
		{"a.gz", head(gzip.Header{}), append(head(gzip.Header{OS: 3}), 0), false},
		{"a.gz", head(gzip.Header{}), zst(t, text), false},
		{"a.gz", zst(t, text), zst(t, text, zstd.WithEncoderLevel(zstd.SpeedFastest)), false},
		{"a.gz", text, text[1:], false},
		{"a.gz", nil, nil, false},
		{"a.xz", xzStored(text, 1000), xzStored(text, 2000), true},
		{"a.xz", xzStored(text, 1000), xzStored(other, 1000), false},
		{"a.zst", zst(t, text), zst(t, text, zstd.WithEncoderLevel(zstd.SpeedFastest)), true},
		{"a.zst", zst(t, text), zst(t, text, zstd.WithEncoderCRC(false)), false},
		{"a.zst", zst(t, text), append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zst(t, text)...), false},
		{"a.ko.xz", xzStored([]byte("code"+signature), 1000), xzStored([]byte("code"+signature), 7), false},
		{"a.ko.xz", xzStored([]byte("code"+signature+"x"), 1000), xzStored([]byte("code"+signature+"x"), 7), true},
	} {
		if k := KindAt("usr/share/" + tc.path); k != Compressed {
			t.Fatal(tc.path, k)
		}
		if v := judged(t, Compressed, tc.path, tc.old, tc.now); v.Same != tc.same {
			t.Errorf("%s, %.20q and %.20q: %+v", tc.path, tc.old, tc.now, v)
		}
	}
}

// TestCompiled changes each byte of a compiled file: only the time that it quotes may be another.
func TestCompiled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header string
		at     int
	}{
		"Python 3.11": {"\xa7\x0d\r\n\x00\x00\x00\x00\x01\x02\x03\x04\x07\x00\x00\x00", 8},
		"Python 2.7":  {"\x03\xf3\r\n\x01\x02\x03\x04", 4},
		"a hash":      {"\xa7\x0d\r\n\x03\x00\x00\x00\x01\x02\x03\x04\x07\x00\x00\x00", -100},
		"short":       {"\xa7\x0d\r\n", -100},
	} {
		old := []byte(tc.header + "code")
		if name == "short" {
			old = []byte(tc.header)
		}
		for i := range old {
			now := bytes.Clone(old)
			now[i] ^= 0x40
			v := judged(t, Compiled, "a.pyc", old, now)
			if v.Same != (i >= tc.at && i < tc.at+4) {
				t.Errorf("%s: byte %d: %+v", name, i, v)
			}
			if v.Same && (v.Quoted[0] != 0x04030201 || v.Quoted[1] == v.Quoted[0] || v.What != "the quoted time of 1 file") {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// TestBombsAreBounded has small files of large contents, and headers that promise large ones.
func TestBombsAreBounded(t *testing.T) {
	t.Parallel()
	lim := Limits{Plain: 4 << 20, Members: 100, Name: 100}
	bomb := gz(t, make([]byte, 64<<20), 9, gzip.Header{})
	var many []member
	for range 200 {
		many = append(many, member{name: "a", links: 1})
	}
	long := member{name: strings.Repeat("n", 200), links: 1}
	promises := member{name: "a", links: 1}.bytes("070701")
	copy(field(promises, cpioSize), "ffffffff")
	unnamed := bytes.Clone(promises)
	copy(field(unnamed, cpioNameSize), "ffffffff")
	for name, c := range map[string][]byte{
		"many members": archive(many...), "a long name": archive(long), "a large member": promises, "a large name": unnamed,
		"a bomb":             slices.Concat(archive(), bomb),
		"archives in a bomb": gz(t, bytes.Repeat(archive(), 100_000), 9, gzip.Header{}),
	} {
		if v := judgedWithin(t, lim, Initramfs, "boot/initrd", c, c); v.Same {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := judgedWithin(t, lim, Compressed, "a.gz", bomb, bomb); v.Same {
		t.Errorf("a bomb: %+v", v)
	}
	// Several files spend one budget.
	j, small := NewJudge(lim), gz(t, make([]byte, 1<<20), 9, gzip.Header{})
	same := 0
	for range 10 {
		v, err := j.Compare(t.Context(), Compressed, "a.gz", bytes.NewReader(small), bytes.NewReader(small))
		if err != nil {
			t.Fatal(err)
		}
		if v.Same {
			same++
		}
	}
	if same != 1 {
		t.Errorf("%d pairs of 2 MiB judged within 4 MiB", same)
	}
}

// failing is a content that can't be read.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (failing) Size() int64                         { return 1000 }

func TestTroubleIsNoVerdict(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	for _, k := range []Kind{Initramfs, Compressed, RPMDatabase, Compiled} {
		v, err := NewJudge(DefaultLimits()).Compare(t.Context(), k, "a.gz", failing{broken}, failing{broken})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v, %v", k, v, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := bytes.NewReader(gz(t, []byte("x"), 6, gzip.Header{}))
	if _, err := NewJudge(DefaultLimits()).Compare(ctx, Compressed, "a.gz", c, c); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if v, err := NewJudge(DefaultLimits()).Compare(t.Context(), "", "a", c, c); v.Same || err != nil {
		t.Error(v, err)
	}
}

func FuzzCompare(f *testing.F) {
	early, rest := system()
	f.Add(initrd(f, early, rest), initrd(f, aged(early, 1), rest))
	f.Add(archive(rest...), archive(aged(rest, 1)...))
	f.Add(gz(f, []byte("x"), 1, gzip.Header{Name: "n"}), zst(f, []byte("x")))
	f.Add(xzStored([]byte("xx"), 1), xzStored([]byte("xx"), 2))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		lim := Limits{Plain: 8 << 20, Members: 1000, Name: 1000}
		for kind, p := range map[Kind]string{Initramfs: "boot/initrd", RPMDatabase: "x", Compressed: "a.gz",
			Compiled: "a.pyc"} {
			v := judgedWithin(t, lim, kind, p, a, b)
			if self := judgedWithin(t, lim, kind, p, a, a); v.Same && !self.Same {
				t.Error("the same as another, and not as itself")
			}
			if v.Same && kind == Compressed && !bytes.Equal(plainOf(t, a), plainOf(t, b)) {
				t.Error("other plain bytes")
			}
		}
	})
}

func plainOf(t *testing.T, b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
