package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/rechunk/legible"
)

type verifyCommand struct {
	A string `arg:"" help:"An image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	B string `arg:"" help:"The other image."`

	MTime bool `help:"Compare modification times, too." name:"mtime"`
	Most  int  `help:"Most differences to list; 0 lists all." default:"100"`

	ProvenanceKey string `help:"Check, too, that an attestation by a public key in FILE says that B was made of A." placeholder:"FILE"`
	imageFlags
}

// Help follows the flags in strata verify --help.
func (verifyCommand) Help() string {
	return `Two images are the same if every path, type, mode, owner, extended attribute, link target, hardlink group and byte
is. What Strata changes in bootable images is no difference: what lies in /sysroot, which it drops, counts in neither, and
identical files in /usr that it makes one count as linked. Their configs are the same if user, environment, entry point,
command, directory, labels, ports, volumes, signal and platform are; labels that Strata drops are named.

Where an image says that it keeps files that differ in build noise only (noise: keep), those are compared for it, listed with
both digests and what differs, and no difference. Any other byte is one.

Of an ostree-encapsulated image, what its commit says of attributes is compared, too, read by other means than those that
images are made by.

Of an image that the proxy serves as it is, in its source's layers, the last line says why.

    strata verify docker://ghcr.io/ublue-os/bluefin:stable docker://proxy.example/ghcr.io/ublue-os/bluefin:stable

The exit code is 1 if they differ; the differences are listed, one a line.`
}

func (c *verifyCommand) Run(ctx context.Context, s *streams) error {
	b := newBars(s.terminal)
	v, err := oneshot.Verify(ctx, c.A, c.B, c.MTime, c.Most, c.options(s, b))
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(s.out, v); err != nil {
			return err
		}
	} else {
		printVerification(s, v, c.Most)
	}
	if !v.Same {
		return errFailed
	}
	return c.provenance(ctx, s)
}

// provenance checks of what the second image says that it was made.
func (c *verifyCommand) provenance(ctx context.Context, s *streams) error {
	if c.ProvenanceKey == "" {
		return nil
	}
	file, err := keys.ReadFile(c.ProvenanceKey)
	if err != nil {
		return err
	}
	by, err := keys.ParsePublic(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ProvenanceKey, err)
	}
	key, from, err := oneshot.Provenance(ctx, c.A, c.B, by, c.options(s, newBars(io.Discard)))
	if err != nil || c.JSON {
		return err
	}
	return printLine(s.out, "made of "+from+", by the word of "+key.ID())
}

// printVerification says first what the outcome is, then why, one a line. Digests are cut to what tells them apart; --json
// has them whole.
func printVerification(s *streams, v *oneshot.Verification, most int) {
	fmt.Fprintln(s.out, verdict(v, most))
	for _, k := range v.Noise {
		fmt.Fprintln(s.out, legible.Line(cutDigests(k.String())))
	}
	for _, d := range v.Differences {
		d.A, d.B = apart(cutDigests(d.A), cutDigests(d.B))
		fmt.Fprintln(s.out, legible.Line(cutDigests(d.String())))
	}
	for _, d := range v.Config {
		d.A, d.B = apart(cutDigests(d.A), cutDigests(d.B))
		fmt.Fprintln(s.out, legible.Line(cutDigests(d.String())))
	}
}

// shownValue is how much of a value a line of differences shows, in characters.
const shownValue = 72

// apart cuts values that are too long for a line to what tells them apart, with some of what both begin with.
func apart(a, b string) (string, string) {
	x, y := []rune(a), []rune(b)
	if max(len(x), len(y)) <= shownValue {
		return a, b
	}
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	from := max(0, same-shownValue/4)
	return window(x, from), window(y, from)
}

// window is what a line shows of a value, from a character on.
func window(value []rune, from int) string {
	from = min(from, len(value))
	to := min(from+shownValue, len(value))
	text := string(value[from:to])
	if from > 0 {
		text = "…" + text
	}
	if to < len(value) {
		text += "…"
	}
	return text
}

// verdict is the outcome in one line.
func verdict(v *oneshot.Verification, most int) string {
	if v.Same && len(v.Noise) > 0 {
		return fmt.Sprintf("the same filesystem, but for build noise in %s that stayed as they were served before:",
			legible.Count(len(v.Noise), "file"))
	}
	if v.Same {
		return "the same filesystem"
	}
	what := map[string]int{}
	for _, d := range v.Differences {
		what[d.What]++
	}
	var parts []string
	for _, w := range slices.SortedFunc(maps.Keys(what), func(a, b string) int {
		return cmp.Or(what[b]-what[a], strings.Compare(a, b))
	}) {
		parts = append(parts, fmt.Sprintf("%d %s", what[w], w))
	}
	if n := len(v.Config) - explained(v); n > 0 {
		parts = append(parts, fmt.Sprintf("%d in the config", n))
	}
	line := "not the same: " + strings.Join(parts, ", ")
	if most > 0 && len(v.Differences) >= most {
		line += fmt.Sprintf("; no more than %d differences are listed (--most)", most)
	}
	return line
}

// explained counts the differences of the configs that are none.
func explained(v *oneshot.Verification) (n int) {
	for _, d := range v.Config {
		if d.Why != "" {
			n++
		}
	}
	return n
}

// digests are those that a line of differences names.
var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// cutDigests leaves of each digest what people compare.
func cutDigests(line string) string {
	return digests.ReplaceAllStringFunc(line, func(d string) string { return d[:len("sha256:")+12] })
}
