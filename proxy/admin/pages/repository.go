package pages

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/operate"
)

// repository is the page of a repository, a tag or a family.
type repository struct {
	*operate.RepositoryDetail
	Source   int64 // what updates would have cost
	Versions []versionRow
	Tags     []tagRow
	Saved    *saved // of a repository, nil where nothing of it was pulled
	// Tag is set on the page of one tag, and with it Hosts, where these are counted.
	Tag   *tagRow
	Hosts *fleet.TagReport
}

// tagRow is a tag with the commands that hosts take it by.
type tagRow struct {
	operate.TagReport
	Reference string // host/path:tag
	Why       string // it is not what the rule asks for; empty when it is
	Commands  []command
	Rollout   *rollout
}

// command is a line to be copied.
type command struct{ About, Line string }

// versionRow is a version in a list.
type versionRow struct {
	operate.VersionReport
	Kept    int64  // bytes
	For     string // the tag that it was made for first; with its repository on the page of another
	Clients []lag
}

// lag is a part of the clients that pulled a version, by how far behind they were. The percents of one version add up to
// 100.
type lag struct {
	Text    string
	Percent int
}

// maxLags is how many parts are told apart.
const maxLags = 4

// lagsOf says how far behind the clients were. What they count are estimates, so only shares of them are shown.
func lagsOf(p operate.PullCount) []lag {
	parts, texts := []float64{p.Fresh}, []string{"had nothing"}
	for i, n := range p.Behind {
		if i+1 < maxLags {
			parts, texts = append(parts, n), append(texts, plural(i+1, "version")+" behind")
			continue
		}
		if i+1 == maxLags {
			parts, texts = append(parts, 0), append(texts, fmt.Sprintf("%d or more behind", maxLags))
		}
		parts[len(parts)-1] += n
	}
	var out []lag
	for i, percent := range percents(parts...) {
		if percent > 0 {
			out = append(out, lag{texts[i], percent})
		}
	}
	return out
}

func (h *Handler) repository(ctx context.Context, r *http.Request, _ *operate.StatusReport) (*view, error) {
	name := r.PathValue("name")
	if len(name) > maxName {
		return nil, fmt.Errorf("%w: no name is that long", operate.ErrNotFound)
	}
	detail, err := h.Reports.Repository(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &repository{RepositoryDetail: detail, Source: detail.UpdateBytes + detail.UpdateBytesSaved}
	proxy := h.proxyName(r)
	for _, t := range detail.Tags {
		p.Tags = append(p.Tags, tagRowOf(name, t, proxy, h.Hosts().Insecure))
	}
	for _, v := range detail.History {
		p.Versions = append(p.Versions, versionRow{v, v.TotalBytes - v.NewBytes, tagOn(name, v.Reference), lagsOf(v.Pulls)})
	}
	if p.Saved, _, err = h.savedBy(ctx, name); err != nil {
		return nil, err
	}
	if len(p.Tags) == 1 && p.Tags[0].Reference == name {
		p.Tag = &p.Tags[0]
		f, err := h.Fleet(name)
		switch {
		case err == nil && len(f.Tags) > 0:
			p.Hosts = &f.Tags[0]
		case err != nil && !errors.Is(err, fleet.ErrOff) && !errors.Is(err, fleet.ErrUnknownTag):
			return nil, err
		}
	}
	return &view{template: "repository", title: detail.Name, section: "repositories", body: p}, nil
}

// tagOn shortens a reference to its tag, ":tag", on the page of its repository or of one of the tags there.
func tagOn(page, reference string) string {
	at := strings.LastIndexByte(reference, ':')
	if at > 0 && (page == reference[:at] || strings.HasPrefix(page, reference[:at]+":")) {
		return reference[at:]
	}
	return reference
}

// maxName bounds a name in a path, in bytes. The longest that a registry takes are shorter.
const maxName = 512

// tagRowOf makes the row of a tag. On the page of a family, tags are named with their repositories.
func tagRowOf(of string, t operate.TagReport, proxy string, insecure bool) tagRow {
	row := tagRow{TagReport: t, Reference: t.Tag, Why: whyNot(t)}
	if !strings.Contains(t.Tag, ":") {
		row.Reference = strings.TrimSuffix(of, ":"+t.Tag) + ":" + t.Tag
	}
	if t.Served != operate.Refused {
		row.Commands = commands(proxy+"/"+row.Reference, insecure)
	}
	if t.Rollout != nil {
		row.Rollout = rolloutOf(t.Rollout)
	}
	return row
}

// whyNot says why a tag shows less than its rule asks for.
func whyNot(t operate.TagReport) string {
	switch {
	case t.Refused != "":
		return t.Refused
	case !t.StaleSince.IsZero():
		return fmt.Sprintf("nobody could check it since %s, so that what was known at %s is served",
			t.StaleSince.Format(time.RFC3339), t.CheckedAt.Format(time.RFC3339))
	case t.Failure != nil && t.Served == "stale":
		return "the version before is served, as the new one could not be had: " + t.Failure.Error
	case t.Failure != nil && t.Digest == t.SourceDigest:
		return "it could not be rechunked: " + t.Failure.Error
	case t.Failure != nil:
		return "not all of it could be rechunked: " + t.Failure.Error
	}
	return t.AsItIs
}

// commands take an image to a host. Where the proxy speaks plain HTTP, hosts have to be told that it may.
func commands(image string, insecure bool) []command {
	move, pull := command{"Move a bootc host to it", "sudo bootc switch " + image}, "podman pull "
	if insecure {
		move.About += ", once its registries.conf allows plain HTTP"
		pull += "--tls-verify=false "
	}
	return []command{move, {"Pull it as a container", pull + image}}
}

// proxyName is what clients are likely to call the proxy: its own name where it has one, else the name that the operator's
// browser uses for this listener, with the port of the other one.
func (h *Handler) proxyName(r *http.Request) string {
	proxy := h.Hosts()
	if len(proxy.Names) > 0 {
		return proxy.Names[0]
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.Contains(host, ":") {
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	if proxy.Port != "" {
		host += ":" + proxy.Port
	}
	return host
}

// rollout says how far a tag's newest version has got.
type rollout struct {
	*operate.RolloutReport
	Given   []given // what hosts get now, newest first
	Newest  operate.RolledReport
	Percent float64
	Note    string
	Bad     bool // it waits for an operator
}

// given is a version with the part of all hosts that get it, and nothing newer.
type given struct {
	Version, Digest, SourceDigest string
	Share                         float64
}

// givenOf shares hosts out as roll-outs do: which hosts a step reaches is another draw for each version, and those that none
// reaches get the oldest that was not withdrawn.
func givenOf(versions []operate.RolledReport) []given {
	var out []given
	oldest := slices.IndexFunc(versions, func(v operate.RolledReport) bool { return v.Withdrawn == nil })
	rest := 1.0
	for i, v := range slices.Backward(versions) {
		share := rest * v.Share
		if i == oldest {
			share = rest
		}
		if i < oldest || v.Withdrawn != nil || share <= 0 {
			continue
		}
		out, rest = append(out, given{v.Version, v.Digest, v.SourceDigest, share}), rest-share
	}
	return out
}

// Made is the version of a source, nil where that is not remembered.
func (r *rollout) Made(source digest.Digest) *named {
	for _, v := range r.Versions {
		if v.SourceDigest == source.String() && v.Digest != v.SourceDigest {
			return &named{v.Version, v.Digest}
		}
	}
	return nil
}

func rolloutOf(r *operate.RolloutReport) *rollout {
	out := &rollout{RolloutReport: r, Given: givenOf(r.Versions)}
	if len(r.Versions) == 0 {
		return out
	}
	out.Newest = r.Versions[len(r.Versions)-1]
	out.Percent = 100 * out.Newest.Share
	switch stop := out.Newest.Withdrawn; {
	case r.Held != nil:
		out.Bad, out.Note = true, "by "+r.Held.By+because(r.Held.Reason)
	case stop != nil:
		out.Bad, out.Note = true, "rolled back by "+stop.By+because(stop.Reason)
	case r.State == "reverting":
		out.Bad, out.Note = true, "the upstream went back to the version before"
	case out.Newest.Seen != nil:
		seen := out.Newest.Seen
		out.Note = fmt.Sprintf("%d of %s were seen again", seen.Back, plural(seen.Hosts, "host"))
		if seen.Overdue > 0 {
			out.Note += fmt.Sprintf(", %d are overdue", seen.Overdue)
		}
		if r.Require != "" {
			out.Note += " (" + r.Require + " is required)"
		}
	case r.Ends:
		out.Note = "no rule has steps for it any more: all get it with the next pull"
	}
	return out
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
