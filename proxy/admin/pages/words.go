package pages

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/rechunk/legible"
)

// size shows bytes as strata's commands do, in decimal units.
func size(n int64) string {
	if n < 0 {
		return "−" + humanize.Bytes(uint64(-n))
	}
	return humanize.Bytes(uint64(n))
}

// took shows a span of time in the one unit that fits.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// seconds is took for what reports have.
func seconds(s float64) string { return took(time.Duration(s * float64(time.Second))) }

// ago shows a time in the past or in the future. The browser keeps the words up to date by the attribute.
func ago(now, t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	words := ""
	switch d := now.Sub(t); {
	case d >= 10*time.Second:
		words = took(d) + " ago"
	case d > -10*time.Second:
		words = "just now"
	default:
		words = "in " + took(-d)
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.Format(time.RFC3339), //nolint:gosec // digits
		t.Format("2006-01-02 15:04:05 UTC"), words))
}

// soon shows when the next step of a roll-out comes; one whose time is over waits for a client.
func soon(now, t time.Time) template.HTML {
	if t.After(now) {
		return ago(now, t)
	}
	return "with the next pull"
}

// share shows a part of a whole in percent; what is not all of it is never shown as 100 %, nor something as nothing.
func share(part, whole float64) string {
	if whole <= 0 {
		return "–"
	}
	switch p := 100 * part / whole; {
	case p > 0 && p < 0.1:
		return "< 0.1 %"
	case p < 10:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	case p < 100 && p > 99:
		return strconv.FormatFloat(math.Floor(p*10)/10, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// percents are the shares of parts in whole percents, which add up to 100.
func percents(parts ...float64) []int {
	sum := 0.0
	for _, p := range parts {
		sum += p
	}
	out := make([]int, len(parts))
	if sum <= 0 {
		return out
	}
	type rest struct {
		of int
		by float64
	}
	left, rests := 100, make([]rest, len(parts))
	for i, p := range parts {
		exact := 100 * p / sum
		out[i] = int(exact)
		left -= out[i]
		rests[i] = rest{i, exact - math.Floor(exact)}
	}
	slices.SortStableFunc(rests, func(a, b rest) int {
		switch {
		case a.by > b.by:
			return -1
		case a.by < b.by:
			return 1
		}
		return 0
	})
	for i := range left {
		out[rests[i%len(rests)].of]++
	}
	return out
}

// counted shows a number as plural does.
func counted(n any) string {
	switch n := n.(type) {
	case int:
		return humanize.Comma(int64(n))
	case int64:
		return humanize.Comma(n)
	}
	return fmt.Sprint(n)
}

// plural says how many of something there are.
func plural(n any, word string) string {
	var count int64
	switch n := n.(type) {
	case int:
		count = int64(n)
	case int64:
		count = n
	}
	return legible.Count(count, word)
}

// short is the part of a digest that tells it from others.
func short(d string) string {
	_, hex, ok := strings.Cut(d, ":")
	if !ok {
		hex = d
	}
	return hex[:min(len(hex), 12)]
}

// named is an image by what it calls itself, if it does, and by its digest.
type named struct{ Label, Digest string }

func name(label, digest string) named { return named{label, digest} }

// String is what people call it.
func (n named) String() string {
	if n.Label != "" {
		return cut(n.Label)
	}
	return short(n.Digest)
}

// digests are found in errors and notes, which name what they are about.
var digests = regexp.MustCompile(`\bsha256:([0-9a-f]{12})[0-9a-f]{52}\b`)

// brief shortens the digests in a text as short does.
func brief(text string) string { return digests.ReplaceAllString(text, "$1…") }

// maxLabel is how much of a text from an image is shown, in characters.
const maxLabel = 60

// cut shortens a text from an image that may be of any length.
func cut(text string) string {
	if runes := []rune(text); len(runes) > maxLabel {
		return strings.TrimSpace(string(runes[:maxLabel-1])) + "…"
	}
	return text
}
