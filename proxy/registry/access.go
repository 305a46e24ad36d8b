package registry

import (
	"net/http"

	"github.com/strata-oci/strata/proxy/name"
)

// Access decides who may pull what. It is safe for concurrent use.
type Access interface {
	// Authorize finds out who sent a request and whether he may have what it wants. When not, it returns an *Error: with
	// status 401 after setting WWW-Authenticate, with 403, or with another one for a request that cannot be judged now. It
	// says nothing of whether what is wanted exists, and is asked before anything is looked for.
	Authorize(w http.ResponseWriter, r *http.Request, want Want) (Grant, error)
}

// Want is what a request is about. The zero value is the API itself.
type Want struct {
	// Repository is the one that content is wanted of.
	Repository name.Repository
	// Asked is its name as the client wrote it, when that alone stands for it.
	Asked string
	// As is the registry that the client takes this proxy for, so that what it knows of logins is about that; empty when it
	// knows whom it asks.
	As string
	// Catalog: the names of all repositories are wanted.
	Catalog bool
}

// Grant is what a client may have.
type Grant struct {
	// User is the client's name, empty when it did not log in.
	User string
	// Sees reports whether it may know of a repository, "host/path". Nil: of all.
	Sees func(repository string) bool
}

// authorize asks Access, if there is one, and notes who asked.
func (h *handler) authorize(w *response, r *http.Request, want Want) (Grant, error) {
	if h.Access == nil {
		return Grant{}, nil
	}
	grant, err := h.Access.Authorize(w, r, want)
	requestInfo(r).User = grant.User
	return grant, err
}

// wanted describes a request for a repository. With ns, or at a registry's own host, a name without a host could stand for
// repositories of several registries.
func wanted(as, asked string, repo name.Repository, ns []string) Want {
	w := Want{Repository: repo, Asked: asked, As: as}
	if len(ns) > 0 || as != "" {
		w.Asked = ""
	}
	return w
}
