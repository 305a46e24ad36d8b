package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/strata-oci/strata/proxy/admin/session"
)

// Login lets operators in. It is safe for concurrent use.
type Login interface {
	// LogsIn reports whether operators have to say who they are.
	LogsIn() bool
	// Check returns who sent a request, by what was checked of it and nothing else, for logs; where nobody has to log in,
	// that is an address. Who is not let in is "", with the status and the message of the answer, for which it sets
	// headers.
	Check(w http.ResponseWriter, r *http.Request) (by string, status int, message string)
}

// Way is what somebody tried to log in with.
type Way string

// The ways.
const (
	ByToken    Way = "token"
	ByPassword Way = "password"
	ByPage     Way = "page"    // the form, a token or a password
	BySession  Way = "session" // a browser's, begun with a token or password that is none any more
	ByOther    Way = "other"
)

// wayOf returns what the login of a request is.
func wayOf(r *http.Request) Way {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case session.Restored(r):
		return BySession
	case strings.EqualFold(scheme, "bearer"):
		return ByToken
	case strings.EqualFold(scheme, "basic"):
		return ByPassword
	}
	return ByOther
}

// letIn is Login's Check, and tells of who is refused though there was something to log in with.
func (h *Handler) letIn(w http.ResponseWriter, r *http.Request, way Way) (by string, status int, message string) {
	if h.login == nil {
		return somebody, 0, ""
	}
	by, status, message = h.login.Check(w, r)
	if status != 0 && r.Header.Get("Authorization") != "" {
		h.refused(r, way)
	}
	return by, status, message
}

// somebody asks where nobody looks at who does.
const somebody = "somebody"

type operatorKey struct{}

func withOperator(r *http.Request, by string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), operatorKey{}, by))
}

// operator names who sent a request that was let in, for logs. Nothing else here says who somebody is: a header that nobody
// checked says what its sender likes.
func operator(r *http.Request) string {
	if by, _ := r.Context().Value(operatorKey{}).(string); by != "" {
		return by
	}
	return somebody
}
