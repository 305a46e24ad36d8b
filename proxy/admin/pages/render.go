package pages

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/legible"
)

// pageTimeout bounds what making a page may take.
const pageTimeout = 30 * time.Second

// templates are the pages' by the names of their files, each with the frame around it.
type templates map[string]*template.Template

func parseTemplates(now func() time.Time) templates {
	frame := template.Must(template.New("frame.html").Funcs(template.FuncMap{
		"size": size, "seconds": seconds, "share": share, "plural": plural, "count": counted,
		"short": short, "cut": cut, "named": name,
		"brief": brief,
		"list":  func(all ...string) []string { return all },
		"ago": func(t any) template.HTML {
			if p, ok := t.(*time.Time); ok && p != nil {
				t = *p
			}
			at, _ := t.(time.Time)
			return ago(now(), at)
		},
		"soon": func(t time.Time) template.HTML { return soon(now(), t) },
		"float": func(n any) float64 {
			if n, ok := n.(int); ok {
				return float64(n)
			}
			m, _ := n.(int64)
			return float64(m)
		},
		"lagging": func(lag int) string {
			if lag == 0 {
				return "newest"
			}
			return "behind"
		},
		"half":   func(n float64) float64 { return n / 2 },
		"minus":  func(n int64) int64 { return -n },
		"escape": escapePath, "measured": measured, "split": split,
	}).ParseFS(files, "templates/frame.html", "templates/parts.html"))
	out := templates{}
	names, _ := fs.Glob(files, "templates/*.html") // the pattern is good
	for _, name := range names {
		base := path.Base(name)
		if base != "frame.html" && base != "parts.html" {
			out[strings.TrimSuffix(base, ".html")] = template.Must(template.Must(frame.Clone()).ParseFS(files, name))
		}
	}
	return out
}

// pageOf is the path of the page of a repository, or of a tag or digest in it.
func pageOf(name string) string { return "/repositories/" + escapePath(name) }

// escapePath escapes a repository's name for a path. Its slashes stay, as those of the path.
func escapePath(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// view is what a page shows.
type view struct {
	template string
	title    string
	section  string // of the navigation
	status   int    // of the answer; 0 is 200
	body     any
}

// document is what the frame shows.
type document struct {
	Title, Section string
	Health         health
	Status         *operate.StatusReport // nil where it cannot be had
	Token          string                // for forms
	LoggedIn       bool                  // by a session, which can be ended
	Here           string                // path and query of the page
	State          string                // tells what it shows from what it showed before; empty for pages that stay
	Told           string                // what a form did
	Body           any
}

// maker makes a page; the problem that it may return is shown as one.
type maker func(ctx context.Context, r *http.Request, s *operate.StatusReport) (*view, error)

// page answers with what make makes.
func (h *Handler) page(make maker) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
		defer cancel()
		d, v := h.document(ctx, r, make)
		d.State = stateOf(d)
		h.write(w, v, d)
	}
}

// document makes a page with what the frame around it shows.
func (h *Handler) document(ctx context.Context, r *http.Request, make maker) (*document, *view) {
	d := &document{Token: h.Sessions.Token(r), LoggedIn: h.Sessions.Has(r), Here: r.URL.RequestURI(),
		Told: told(r.URL.Query().Get("did"))}
	status, err := h.Status(ctx)
	var v *view
	problems := 0
	if err == nil {
		problems = h.countProblems(ctx, &status)
		status.UptimeSeconds = 0 // which would make each page different from the one before
		d.Status = &status
		v, err = make(ctx, r, &status)
	}
	d.Health = h.health(ctx, d.Status, problems)
	if err != nil {
		v = failed(err)
	}
	d.Title, d.Section, d.Body = v.title, v.section, v.body
	return d, v
}

// failed is the page of what could not be shown.
func failed(err error) *view {
	v := &view{template: "failed", title: "Not shown", status: http.StatusInternalServerError, body: err.Error()}
	switch {
	case errors.Is(err, operate.ErrNotFound):
		v.title, v.status = "Not found", http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded):
		v.status = http.StatusGatewayTimeout
	}
	return v
}

// write sends a page. It is put together first, so that a failure is not half a page.
func (h *Handler) write(w http.ResponseWriter, v *view, d *document) {
	var page bytes.Buffer
	if err := h.templates[v.template].Execute(&page, d); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Security-Policy", Policy)
	head.Set("Content-Type", "text/html; charset=utf-8")
	if v.status != 0 {
		w.WriteHeader(v.status)
	}
	_, _ = w.Write(legible.Lines(page.Bytes())) // who left does not hear of it
}

// health says in a word how the proxy is: what is ready while something is wrong is not well.
type health struct{ Class, Text string }

func (h *Handler) health(ctx context.Context, s *operate.StatusReport, problems int) health {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if why := h.Ready(ctx); why != "" {
		return health{"bad", "not ready: " + why}
	}
	switch {
	case s == nil:
		return health{"bad", "no status"}
	case problems > 0:
		return health{"warn", "ready, with " + plural(problems, "problem")}
	}
	return health{"good", "ready"}
}

// countProblems counts what the overview lists as wrong.
func (h *Handler) countProblems(ctx context.Context, s *operate.StatusReport) int {
	all, err := h.Reports.Repositories(ctx)
	if err != nil {
		return len(s.Problems) // the page says that there is no list
	}
	return len(problemsOf(s, all))
}

// readyTimeout bounds how long a page waits to hear whether the proxy is ready.
const readyTimeout = 2 * time.Second
