package legible

import (
	"strings"

	"github.com/dustin/go-humanize"
)

// Count says how many of something there are: "1 layer", "2,000 layers", "3 copies". The noun is given in the singular and
// forms its plural by rule, as do phrases that end in such a noun.
func Count[N ~int | ~int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + plural(noun)
}

// Noun is the noun alone, for numbers that stand elsewhere.
func Noun[N ~int | ~int64](n N, noun string) string {
	if n == 1 {
		return noun
	}
	return plural(noun)
}

// plural is what more than one of something are called.
func plural(noun string) string {
	if stem, ok := strings.CutSuffix(noun, "y"); ok && !strings.ContainsAny(stem[max(len(stem)-1, 0):], "aeiou") {
		return stem + "ies"
	}
	for _, hissing := range []string{"s", "x", "ch", "sh"} {
		if strings.HasSuffix(noun, hissing) {
			return noun + "es"
		}
	}
	return noun + "s"
}
