package admin

import (
	"context"
	"net/http"

	"github.com/strata-oci/strata/proxy/hosts"
)

// getProxy tells what hosts need to know of the proxy.
func (h *Handler) getProxy(w http.ResponseWriter, _ *http.Request) {
	p := h.hosts()
	p.Names, p.Keys, p.Upstreams = notNil(p.Names), notNil(p.Keys), notNil(p.Upstreams)
	writeJSON(w, http.StatusOK, p)
}

// getClientConfig makes the files that a host needs, to be copied. What the host has already is not known here.
func (h *Handler) getClientConfig(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	setup := hosts.Setup{Name: q.Get("host"), Proxy: h.hosts(), NoFallback: q.Get("no-fallback") == "1"}
	if setup.Name == "" && len(setup.Proxy.Names) > 0 {
		setup.Name = setup.Proxy.Names[0]
	}
	for _, image := range q["image"] {
		if image != "" {
			setup.Images = append(setup.Images, image)
		}
	}
	if setup.Name == "" {
		writeError(w, http.StatusBadRequest,
			"by which name do hosts know this proxy? Ask with ?host=NAME, or set signing.names")
		return
	}
	config, err := hosts.Make(setup)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = config.Print(w) // who left does not hear of it
}

// ClientConfig returns what hosts need to know of the proxy.
func (c *Client) ClientConfig(ctx context.Context) (p hosts.Proxy, err error) {
	err = c.get(ctx, "/api/v1/client-config", &p)
	return p, err
}
