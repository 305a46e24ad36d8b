package registry

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/name"
)

// arrivedFor returns the registry whose client sent a request, because DNS led it here; empty when the client knows whom it
// asks. The Host header decides, or the name that the client expects in the certificate where that header names none. A
// connection to one registry is none to another (RFC 9110, 15.5.20).
func (h *handler) arrivedFor(r *http.Request) (string, error) {
	as, shown := h.answered(r.Host), ""
	if r.TLS != nil {
		shown = h.answered(r.TLS.ServerName)
	}
	switch {
	case as == "" && r.Host != "":
		return "", nil
	case as == "":
		as = shown
	case shown != "" && shown != as:
		return "", &Error{Status: http.StatusMisdirectedRequest, Code: codeUnsupported,
			Message: "this connection was made to " + shown + ": ask " + as + " on another one"}
	}
	if as != "" && h.cameBack(r) {
		return "", LoopDetected(as)
	}
	return as, nil
}

// cameBack reports whether a request is one of this process's own, by its Via header.
func (h *handler) cameBack(r *http.Request) bool {
	return h.Self != "" && slices.ContainsFunc(r.Header.Values("Via"),
		func(via string) bool { return strings.Contains(via, h.Self) })
}

// loop returns an error for a request of this process's own that it would answer by asking again where that request went.
// Under other names it may ask itself.
func (h *handler) loop(r *http.Request, repo name.Repository) error {
	if h.Behind(repo.Host()) && h.cameBack(r) {
		return LoopDetected(repo.Host())
	}
	return nil
}

// strata is how a process names itself in a Via header.
var strata = regexp.MustCompile(`strata-[0-9A-Za-z]{1,32}`)

// mostVia bounds how many processes are remembered that a request came through: the last ones.
const mostVia = 16

type viaKey struct{}

// withVia returns a context of work for a request that may have come through other Stratas.
func withVia(r *http.Request) context.Context {
	var through []string
	for _, via := range r.Header.Values("Via") {
		through = append(through, strata.FindAllString(via, -1)...)
	}
	if len(through) == 0 {
		return r.Context()
	}
	through = through[max(len(through)-mostVia, 0):]
	return context.WithValue(r.Context(), viaKey{}, "1.1 "+strings.Join(through, ", 1.1 "))
}

// ViaOf returns the Stratas that a request came through for which work is done, as the value of a Via header; empty for
// none.
func ViaOf(ctx context.Context) string {
	via, _ := ctx.Value(viaKey{}).(string)
	return via
}

// answered returns the canonical form of a host that this proxy answers as; empty for all others.
func (h *handler) answered(host string) string {
	domain, port, hasPort := strings.Cut(strings.ToLower(host), ":")
	host = strings.TrimSuffix(domain, ".") // absolute, as resolvers take names
	if hasPort {
		host += ":" + port
	}
	host, err := name.ParseHost(host)
	if err != nil || !h.AnswersAs(host) {
		return ""
	}
	return host
}

// repository resolves a name that came for a registry, or for this proxy where as is empty. A proxy in between may repeat
// ns, but not contradict it.
func (h *handler) repository(as, path string, ns []string) (name.Repository, error) {
	var host string
	for i, s := range ns {
		if i > 0 && s != host {
			return name.Repository{}, NameInvalid("the query parameter ns is given twice")
		}
		host = s
	}
	var repo name.Repository
	var err error
	switch {
	case as == "":
		repo, err = h.Names.Repository(path, host)
	case host != "" && h.answered(host) != as:
		return repo, NameInvalid("the request is for " + as + ", and its query parameter ns names another registry")
	default:
		repo, err = name.At(as, path)
	}
	if err != nil {
		return name.Repository{}, nameError(err)
	}
	return repo, nil
}
