package legible_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/legible"
)

// hostile are texts that would not be seen as what they are, with Line and Text of each.
var hostile = []struct{ name, text, line, read string }{
	{"plain", "glibc 2.41-12, naïve – 漢字 שלום", "glibc 2.41-12, naïve – 漢字 שלום", "glibc 2.41-12, naïve – 漢字 שלום"},
	{"escape sequence", "\x1b[2Jgone", `\u001b[2Jgone`, "[2Jgone"},
	{"C1 control", "\u009b2J", `\u009b2J`, "2J"},
	{"delete", "a\x7f", `a\u007f`, "a"},
	{"lines", "a\nb\r\nc\td", `a\nb\r\nc\td`, "a\nb\nc\td"},
	{"carriage return", "safe\rlie", `safe\rlie`, "safe lie"},
	{"other line ends", "a\u2028b\u2029c\u0085d\vf", `a\u2028b\u2029c\u0085d\u000bf`, "a b c d f"},
	{"bidi override", "user\u202etxt.exe\u202c", `user\u202etxt.exe\u202c`, "usertxt.exe"},
	{"bidi isolates", "\u2066a\u2067b\u2068c\u2069", `\u2066a\u2067b\u2068c\u2069`, "abc"},
	{"bidi marks", "\u200ea\u200fb\u061cc", `\u200ea\u200fb\u061cc`, "abc"},
	{"zero width", "ad\u200bmin\u200c\u200d\u2060\ufeff", `ad\u200bmin\u200c\u200d\u2060\ufeff`, "admin"},
	{"soft hyphen", "pass\u00adword", `pass\u00adword`, "password"},
	{"fillers", "a\u115f\u3164\uffa0b", `a\u115f\u3164\uffa0b`, "ab"},
	{"joiners and variations", "a\u034f\ufe00\U000e0100", `a\u034f\ufe00\udb40\udd00`, "a"},
	{"tags", "a\U000e0041", `a\udb40\udc41`, "a"},
	{"spaces", "a\u00a0b\u2003c\u2800d", `a\u00a0b\u2003c\u2800d`, "a b c d"},
	{"private use", "\ue000", `\ue000`, ""},
	{"no UTF-8", "a\xff\xe2\x82b", `a\xff\xe2\x82b`, "a\uFFFD\uFFFDb"},
	{"U+FFFD itself", "a\uFFFDb", "a\uFFFDb", "a\uFFFDb"},
}

func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for _, c := range hostile {
		if got := legible.Line(c.text); got != c.line {
			t.Errorf("%s: line %q, want %q", c.name, got, c.line)
		}
		if got := legible.Text(c.text); got != c.read && c.name != "no UTF-8" || !shown(got, "\n\t") {
			t.Errorf("%s: text %q, want %q", c.name, got, c.read)
		}
		if got := legible.Plain(c.text); got != (c.line == c.text) {
			t.Errorf("%s: plain: %t", c.name, got)
		}
	}
}

// shown reports whether a reader sees all of a text, but for some characters.
func shown(text, but string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return !legible.Shows(r) && !strings.ContainsRune(but, r)
	})
}

// What terminals obey and what Unicode says to ignore shows nowhere.
func TestShows(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		ignored := unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Bidi_Control, unicode.Join_Control,
			unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point, unicode.Variation_Selector,
			unicode.Other_Default_Ignorable_Code_Point)
		if ignored && legible.Shows(r) {
			t.Errorf("%U shows", r)
		}
		if !ignored && unicode.In(r, unicode.L, unicode.N, unicode.P) && !legible.Shows(r) {
			t.Errorf("%U does not show", r)
		}
	}
}

// What the package promises holds of texts that are made of what is hostile, cut anywhere, and of noise.
func TestLaws(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(6) {
			part := hostile[r.IntN(len(hostile))].text
			if r.IntN(4) == 0 {
				part = string([]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
			}
			b.WriteString(part[r.IntN(len(part)+1):])
		}
		checkLaws(t, b.String(), r.IntN(b.Len()+1))
	}
}

func FuzzLegible(f *testing.F) {
	for i, c := range hostile {
		f.Add(c.text, i)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) { checkLaws(t, text, min(max(cut, 0), len(text))) })
}

// checkLaws holds what the package promises of every text.
func checkLaws(t testing.TB, text string, cut int) {
	t.Helper()
	line := legible.Line(text)
	if !shown(line, "") || legible.Line(line) != line || legible.Plain(text) != (line == text) {
		t.Fatalf("%q is the line %q", text, line)
	}
	if read := legible.Text(text); !shown(read, "\n\t") || legible.Text(read) != read {
		t.Fatalf("%q reads %q", text, read)
	}
	clip := legible.Clip(text, cut)
	if len(clip) > cut || !strings.HasPrefix(line, clip) || legible.Clip(text, len(line)) != line {
		t.Fatalf("%q in %d bytes: %q", text, cut, clip)
	}
	var out bytes.Buffer
	w := legible.NewWriter(&out)
	for _, part := range []string{text[:cut], text[cut:], "."} { // the last ends what was cut
		if n, err := io.WriteString(w, part); n != len(part) || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", n, len(part), err)
		}
	}
	if got, want := out.String(), string(legible.Lines([]byte(text+"."))); got != want || !shown(got, "\n\t") {
		t.Fatalf("%q cut at %d is %q, whole %q", text, cut, got, want)
	}
	checkDocument(t, text)
}

// checkDocument says that documents keep their values on their way through a Writer.
func checkDocument(t testing.TB, text string) {
	t.Helper()
	document, err := json.Marshal(map[string]string{text: text})
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]string
	if err := errors.Join(json.Unmarshal(document, &before), json.Unmarshal(legible.Lines(document), &after)); err != nil {
		t.Fatalf("%q: %v", document, err)
	}
	for key, value := range before {
		if after[key] != value || len(after) != 1 {
			t.Fatalf("%q became %q", before, after)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"1 CVE": legible.Count(1, "CVE"), "2 CVEs": legible.Count(2, "CVE"), "0 layers": legible.Count(0, "layer"),
		"2,000 entries": legible.Count(2000, "entry"), "1 entry": legible.Count(int64(1), "entry"),
		"3 days": legible.Count(3, "day"), "2 new boxes": legible.Count(2, "new box"),
		"2 classes": legible.Count(2, "class"), "-1 layers": legible.Count(-1, "layer"),
		"is": legible.Word(1, "is", "are"), "are": legible.Word(0, "is", "are"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// broken fails every write.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriterFails(t *testing.T) {
	t.Parallel()
	if _, err := legible.NewWriter(broken{}).Write([]byte("a")); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}
