package legible

import "github.com/dustin/go-humanize/english"

// Count says how many of something there are: "1 layer", "2,000 layers", "3 copies". The noun, or a phrase that ends in it,
// is given in the singular and forms its plural by rule.
func Count[N ~int | ~int64](n N, noun string) string { return english.Plural(int(n), noun, "") }

// Word is the word that goes with a number: one form for 1, the other for all else.
func Word[N ~int | ~int64](n N, one, many string) string {
	return english.PluralWord(int(n), one, many)
}
