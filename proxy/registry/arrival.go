package registry

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/name"
)

// authority is whom a request says it is for: a host without regard to case and a dot at its end, Docker Hub by one name,
// and a port, empty for that of HTTPS.
type authority struct{ host, port string }

func authorityOf(s string) authority {
	var a authority
	a.host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") { // or it is one of an IPv6 address
		a.host, a.port = s[:i], s[i+1:]
	}
	if a.port == "443" {
		a.port = ""
	}
	a.host = strings.ToLower(strings.TrimSuffix(a.host, ".")) // absolute, as resolvers take names
	if canonical, err := name.ParseHost(a.host); err == nil {
		a.host = canonical
	}
	return a
}

// arrivedFor returns the registry whose client sent a request, because DNS led it here; empty when the client knows whom it
// asks. The Host header decides, or the name that the client expects in the certificate where there is none. Where both are
// there and one is such a registry's, they have to agree: a connection to one host is none to another (RFC 9110, 15.5.20),
// and whoever shares it by mistake asks again on one of its own.
func (h *handler) arrivedFor(r *http.Request) (string, error) {
	asked, shown := authorityOf(r.Host), authority{}
	if r.TLS != nil {
		shown = authorityOf(r.TLS.ServerName)
	}
	if r.Host == "" {
		asked = shown
	}
	as, led := h.answered(asked)
	_, shownLed := h.answered(shown)
	switch {
	case !led && !shownLed:
		return "", nil
	case shown.host != "" && shown.host != asked.host:
		return "", misdirected("the TLS server name and the Host header name different hosts: " +
			"ask each on a connection of its own")
	case as == "":
		return "", misdirected("the Host header has a port with which this proxy answers as no registry: " +
			"ask without it at port 443, or have the name with its port in answer_as")
	case h.cameBack(r):
		return "", LoopDetected(as)
	}
	return as, nil
}

// misdirected is for a request on a connection, or with a Host header, that was made for another host.
func misdirected(message string) *Error {
	return &Error{Status: http.StatusMisdirectedRequest, Code: codeUnsupported, Message: message}
}

// answered returns the registry that this proxy answers as to an authority, and whether it answers as one to that host at
// all, if only with another port.
func (h *handler) answered(a authority) (registry string, led bool) {
	if a.host == "" {
		return "", false
	}
	for _, listed := range h.AnswersAs() {
		switch as := authorityOf(listed); {
		case as == a:
			return listed, true
		case as.host == a.host:
			led = true
		}
	}
	return "", led
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
	case host != "" && authorityOf(host) != authorityOf(as):
		return repo, NameInvalid("the request is for " + as + ", and its query parameter ns names another registry")
	default:
		repo, err = name.At(as, path)
	}
	if err != nil {
		return name.Repository{}, nameError(err)
	}
	return repo, nil
}
