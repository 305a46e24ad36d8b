// Package doctor finds out whether a host would get an image through a proxy, and what to change where it would not. It
// reads the host's own files below a root, asks the registries that they lead to, and decides as podman, skopeo and bootc
// do, which all go by containers/image.
package doctor

import (
	"context"
	_ "crypto/sha256" // for references with digests
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// State says how bad a finding is.
type State string

// The states.
const (
	Fine State = "fine"
	// Note is worth to know; a pull works.
	Note State = "note"
	// Wrong: a pull through the proxy would fail, or go past it.
	Wrong State = "wrong"
)

// The names of checks, in their order.
const (
	CheckImage     = "image"
	CheckNames     = "names"  // registries.conf: where the name leads
	CheckReach     = "reach"  // the registry's name resolves, and somebody listens
	CheckTLS       = "tls"    // its certificate
	CheckClock     = "clock"  // against the registry's
	CheckLogin     = "login"  // credentials
	CheckManifest  = "pull"   // the image is there, and Strata serves it
	CheckPolicy    = "policy" // which entry of policy.json applies
	CheckSignature = "signature"
	CheckSpace     = "space"
	CheckBootc     = "bootc"
)

// Finding is one line of a report.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	// Text says what was found.
	Text string `json:"text"`
	// Fix is the exact change, where something is wrong.
	Fix string `json:"fix,omitempty"`
}

// Report is all that was found, in the order in which a pull meets it.
type Report struct {
	Image    string    `json:"image"`
	Findings []Finding `json:"findings"`
}

// Works reports whether a pull through the proxy would succeed.
func (r *Report) Works() bool {
	for _, f := range r.Findings {
		if f.State == Wrong {
			return false
		}
	}
	return true
}

// Options say whose eyes to look with.
type Options struct {
	// Root has the host's files. Paths in them are taken below it.
	Root fs.FS
	// Dir is where Root is, for advice; "" is "/".
	Dir string
	// Platform is the host's, "os/arch[/variant]".
	Platform string
	// Bootc is the version of bootc that the host has; "" when it has none, or none that is known.
	Bootc string
	// Free returns the bytes that are free for images on the host. Nil: nobody knows.
	Free func() (int64, error)
	// Dial connects, and Resolve looks names up; nil for the machine's own ways.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Resolve func(ctx context.Context, host string) ([]string, error)
	// Now is the host's clock; nil is time.Now.
	Now func() time.Time
}

// examination is one run.
type examination struct {
	Options
	report *Report
	named  reference.Named
	doors  []*door
	// helpers are the sources of logins that registries.conf names, and helper the program that was found to give one.
	helpers []string
	helper  string
	alias   string // the image as it was given, without a registry
}

func (e *examination) add(check string, state State, fix, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{check, state, oneLine(fmt.Sprintf(format, args...)), oneLine(fix)})
}

func (e *examination) fine(check, format string, args ...any) {
	e.add(check, Fine, "", format, args...)
}

// Examine looks at everything that a pull of an image needs. It returns an error only for what is no image.
func Examine(ctx context.Context, image string, o Options) (*Report, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || len(image) > 512 {
		return nil, fmt.Errorf("%.200q is no image: write HOST/REPOSITORY[:TAG|@DIGEST] in lower case", image)
	}
	o.defaults()
	named = reference.TagNameOnly(named)
	e := &examination{Options: o, report: &Report{Image: named.String(), Findings: []Finding{}}, named: named}
	e.short(image)
	sources := e.names()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		for _, d := range e.doors {
			d.client.CloseIdleConnections()
		}
	}()
	var found *pulled
	for i, s := range sources {
		if found = e.reach(ctx, s, i == 0); found != nil {
			break // as clients do: the first that has it gives all
		}
	}
	e.policy(ctx, sources, found)
	if found != nil {
		e.space(found)
		e.bootc(found)
	}
	return e.report, nil
}

func (o *Options) defaults() {
	if o.Dir == "" {
		o.Dir = "/"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if o.Resolve == nil {
		o.Resolve = net.DefaultResolver.LookupHost
	}
}

// names finds out which registries are asked, in their order.
func (e *examination) names() []registries.Source {
	conf, err := registries.Read(e.Root)
	if err != nil {
		e.add(CheckNames, Wrong, "mend the file: clients refuse every pull while it is so", "%v", err)
		return nil
	}
	for _, w := range conf.Warnings {
		e.add(CheckNames, Note, "", "%s", w)
	}
	e.helpers = conf.Helpers
	if alias := conf.Aliases[e.alias]; alias != "" {
		e.add(CheckNames, Note, "", "podman knows %q as an alias of %s", e.alias, alias)
	}
	entry := conf.Find(e.named)
	if entry == nil {
		e.unread(CheckNames, ".conf", registries.UnreadNames(e.Root))
	}
	sources, skipped, err := conf.Sources(e.named)
	if err != nil {
		e.add(CheckNames, Wrong, "mend prefix and location of the entry", "%v", err)
		return nil
	}
	for _, s := range skipped {
		switch {
		case s.Mirror:
			e.add(CheckNames, Wrong, fmt.Sprintf("remove that from /%s", s.File), "the mirror %s is skipped: %s", s.Location,
				s.Why)
		case len(sources) == 0:
			e.add(CheckNames, Wrong, fmt.Sprintf("remove that from /%s", s.File), "%s is not asked, and nothing else: %s",
				s.Location, s.Why)
		default:
			e.add(CheckNames, Note, "", "%s itself is not asked: %s in /%s", s.Location, s.Why, s.File)
		}
	}
	if len(sources) == 0 {
		return nil
	}
	if len(sources) == 1 && len(skipped) == 0 {
		e.nearMiss(conf, entry)
	}
	e.fine(CheckNames, "%s is asked of %s", e.named, order(sources))
	return sources
}

// short tells what an image without a registry is taken for.
func (e *examination) short(image string) {
	host, rest, _ := strings.Cut(image, "/")
	if rest != "" && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return
	}
	e.alias, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(e.alias, ':'); i > strings.LastIndexByte(e.alias, '/') {
		e.alias = e.alias[:i]
	}
	e.add(CheckNames, Note, "write the registry's name, too",
		"%q names no registry: bootc and skopeo take it for %s, podman looks "+
			"for it among its aliases and unqualified-search-registries", image, e.named)
}

// unread tells of files that have no effect because of their names.
func (e *examination) unread(check, suffix string, files []string) {
	for _, f := range files {
		e.add(check, Note, "", "/%s is not read: its name does not end in %s", f, suffix)
	}
}

func order(sources []registries.Source) string {
	text := ""
	for i, s := range sources {
		if i > 0 {
			text += ", then of "
		}
		text += reference.Domain(s.Named)
	}
	return text
}

// nearMiss tells of an entry with a mirror for the same registry whose prefix doesn't fit, or that a longer one hides.
func (e *examination) nearMiss(conf *registries.Conf, entry *registries.Registry) {
	for i := range conf.Registries {
		r := &conf.Registries[i]
		if r == entry || len(r.Mirrors) == 0 && r.Location == r.Prefix || !sameHost(r.Prefix, reference.Domain(e.named)) {
			continue
		}
		switch {
		case entry != nil && r.Holds(e.named):
			e.add(CheckNames, Wrong, fmt.Sprintf("give the entry for %q in /%s the mirror, too, or remove it", entry.Prefix,
				entry.File),
				"the entry for %q in /%s leads to a proxy, but that for %q in /%s is nearer and doesn't", r.Prefix, r.File,
				entry.Prefix, entry.File)
			return
		case entry == nil:
			e.add(CheckNames, Wrong, fmt.Sprintf("prefix = %q in /%s", reference.Domain(e.named), r.File),
				"the entry for %q in /%s leads to a proxy, but does not hold %s: a prefix is whole names between slashes",
				r.Prefix,
				r.File, e.named.Name())
			return
		}
	}
}

func sameHost(prefix, host string) bool {
	h, _, _ := strings.Cut(prefix, "/")
	return h == host
}

// oneLine keeps a finding a line, whatever a registry or a file said.
func oneLine(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u2029' {
			r = ' '
		}
		out = append(out, r)
		if len(out) > 1000 {
			return string(out) + "…"
		}
	}
	return string(out)
}

// isOwn reports whether an error is the context's.
func isOwn(err error) bool { return errors.Is(err, context.Canceled) }
