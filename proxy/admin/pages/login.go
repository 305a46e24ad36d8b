package pages

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// maxForm bounds a form, in bytes.
const maxForm = 16 << 10

// loginPage asks who an operator is.
type loginPage struct {
	Next  string // where to go then
	User  string
	Wrong string
}

// LoginFor is the page to log in at for who asked for another one.
func LoginFor(r *http.Request) string {
	return "/login?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
}

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request) {
	h.writeLogin(w, r, http.StatusOK, &loginPage{Next: inside(r.URL.Query().Get("next"))})
}

func (h *Handler) writeLogin(w http.ResponseWriter, r *http.Request, status int, p *loginPage) {
	h.write(w, &view{template: "login", status: status}, &document{Title: "Log in", Section: "login",
		Token: h.Sessions.Token(r), Body: p})
}

// login begins a session for who knows a token, or a name and a password.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	if !h.formOf(w, r) {
		return
	}
	p := &loginPage{Next: inside(r.PostForm.Get("next")), User: r.PostForm.Get("user")}
	secret := r.PostForm.Get("secret")
	authorization := "Bearer " + strings.TrimSpace(secret)
	if p.User != "" {
		authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.User+":"+secret))
	}
	if h.Login == nil {
		http.Redirect(w, r, p.Next, http.StatusSeeOther)
		return
	}
	asked := r.Clone(r.Context())
	asked.Header.Set("Authorization", authorization)
	answer := &headers{header: http.Header{}}
	status, message := h.Login(answer, asked)
	if status == 0 {
		if err := h.Sessions.Begin(w, r, authorization); err != nil {
			status, message = http.StatusBadRequest, err.Error()
		}
	}
	if status == 0 {
		http.Redirect(w, r, p.Next, http.StatusSeeOther)
		return
	}
	if wait := answer.header.Get("Retry-After"); wait != "" {
		w.Header().Set("Retry-After", wait)
	}
	if p.Wrong = message; status == http.StatusUnauthorized {
		p.Wrong = "That is not a login that this proxy knows. Leave the name empty for a token."
	}
	h.writeLogin(w, r, status, p)
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	if h.formOf(w, r) {
		h.Sessions.End(w, r)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}
}

// formOf reads the form of a request, and refuses it when it is none that the pages showed to who sent it.
func (h *Handler) formOf(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	status, wrong := 0, ""
	switch err := r.ParseForm(); {
	case err != nil:
		status, wrong = http.StatusBadRequest, "the form cannot be read: "+err.Error()
	case !h.Sessions.Owns(r, r.PostForm.Get("token")):
		status, wrong = http.StatusForbidden,
			"the page that the form was on is too old: the proxy was started again, or you logged in since. Go back, load it "+
				"again, and send the form once more"
	default:
		return true
	}
	h.write(w, &view{template: "failed", status: status},
		&document{Title: "Not done", Token: h.Sessions.Token(r), Body: wrong})
	return false
}

// inside returns a page of this listener: a link that leads elsewhere leads to the first page.
func inside(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || u.Path == "/login" {
		return "/"
	}
	return next
}

// headers takes the headers of an answer that is not sent.
type headers struct{ header http.Header }

// Header implements http.ResponseWriter.
func (h *headers) Header() http.Header { return h.header }

// Write implements http.ResponseWriter.
func (*headers) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (*headers) WriteHeader(int) {}
