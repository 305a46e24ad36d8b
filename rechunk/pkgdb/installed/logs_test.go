package installed_test

import (
	"testing"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\tb\n c \n\n": "a\tb\n c",
		"\x1b[31mred\r": "[31mred",
		"\u009b1mcsi":   "1mcsi",
		"é\xff":         "é\ufffd",
		"12345678901":   "1234567890",
		"123456789é":    "123456789\ufffd"[:9],
	} {
		got := installed.Text([]byte(in), 10)
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\x1b"), 5)
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		if most < 0 {
			return
		}
		if s := installed.Text(b, most); len(s) > most || !utf8.ValidString(s) {
			t.Errorf("%q", s)
		}
	})
}
