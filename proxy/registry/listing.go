package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/name"
)

const defaultMaxPage = 10_000

// tags answers with the tags of a repository, under the name that the client has for it.
func (h *handler) tags(w *response, r *http.Request, asked string, repo name.Repository, query url.Values) error {
	if h.Listings == nil {
		return NotFound("this registry has no lists")
	}
	p, err := h.page(query)
	if err != nil {
		return err
	}
	var tags []string
	var more bool
	if p.N != 0 {
		if tags, more, err = h.Listings.Tags(r.Context(), repo, p); err != nil {
			return err
		}
	}
	tags, more = h.cut(tags, more, p)
	setNext(w, "/v2/"+asked+"/tags/list", query, p, tags, more)
	return writeList(w, r, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{asked, tags})
}

// catalog answers with the names of the repositories that were pulled; at a registry's own host with those of it, as it
// calls them.
func (h *handler) catalog(w *response, r *http.Request, as string, query url.Values) error {
	grant, err := h.authorize(w, r, Want{Catalog: true, As: as})
	if err != nil {
		return err
	}
	if h.Listings == nil {
		return NotFound("this registry has no lists")
	}
	p, err := h.page(query)
	if err != nil {
		return err
	}
	var names []string
	var more bool
	if p.N != 0 {
		if names, more, err = h.listed(r.Context(), as, p, grant.Sees); err != nil {
			return err
		}
	}
	names, more = h.cut(names, more, p)
	setNext(w, "/v2/_catalog", query, p, names, more)
	return writeList(w, r, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// listed returns a page of the repositories that a client may know of: all of them, or those of one registry without its
// host.
func (h *handler) listed(ctx context.Context, as string, p Page, sees func(string) bool) ([]string, bool, error) {
	if as == "" {
		return h.visible(ctx, p, sees)
	}
	p.Last = as + "/" + p.Last
	names, more, err := h.visible(ctx, p, func(n string) bool {
		return strings.HasPrefix(n, as+"/") && (sees == nil || sees(n))
	})
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, as+"/")
	}
	return names, more, err
}

// visible returns a page of the repositories that a client may know of. A page is filled from as many as it takes, so that
// its length says nothing of the others.
func (h *handler) visible(ctx context.Context, p Page, sees func(string) bool) ([]string, bool, error) {
	if sees == nil {
		return h.Listings.Repositories(ctx, p)
	}
	limit := h.MaxPage
	if p.N >= 0 {
		limit = min(p.N, limit)
	}
	var out []string
	from := Page{N: h.MaxPage, Last: p.Last}
	for {
		names, more, err := h.Listings.Repositories(ctx, from)
		if err != nil {
			return nil, false, err
		}
		for _, n := range names {
			if !sees(n) {
				continue
			}
			if len(out) == limit {
				return out, true, nil
			}
			out = append(out, n)
		}
		if !more || len(names) == 0 {
			return out, false, nil
		}
		from.Last = names[len(names)-1]
	}
}

// page reads n and last. More than the longest page is taken for that.
func (h *handler) page(query url.Values) (Page, error) {
	last, err := single(query, "last")
	if err != nil {
		return Page{}, err
	}
	p := Page{N: -1, Last: last}
	if !query.Has("n") {
		return p, nil
	}
	n, err := single(query, "n")
	if err != nil {
		return Page{}, err
	}
	if n == "" || strings.Trim(n, "0123456789") != "" {
		return Page{}, &Error{
			Status: http.StatusBadRequest, Code: codePagination, Message: "n must be a decimal number, not negative",
		}
	}
	p.N = h.MaxPage
	if v, err := strconv.Atoi(n); err == nil { // else it is too large for an int
		p.N = min(v, h.MaxPage)
	}
	return p, nil
}

// cut shortens a list to what was asked for and never returns nil, which JSON would hold as null.
func (h *handler) cut(list []string, more bool, p Page) ([]string, bool) {
	limit := h.MaxPage
	if p.N >= 0 {
		limit = p.N
	}
	if len(list) > limit {
		return list[:limit], true
	}
	if list == nil {
		list = []string{}
	}
	return list, more
}

// setNext links to the page after list (RFC 8288), if there is one.
func setNext(w http.ResponseWriter, path string, query url.Values, p Page, list []string, more bool) {
	if !more || len(list) == 0 {
		return
	}
	next := url.Values{"last": {list[len(list)-1]}}
	if p.N > 0 {
		next.Set("n", strconv.Itoa(p.N))
	}
	if ns := query.Get("ns"); ns != "" {
		next.Set("ns", ns)
	}
	w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, path, next.Encode()))
}

func writeList(w http.ResponseWriter, r *http.Request, list any) error {
	body, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	writeJSON(w, r, "application/json", body)
	return nil
}

func writeJSON(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, r, http.StatusOK, body)
}
