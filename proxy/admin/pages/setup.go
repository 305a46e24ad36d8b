package pages

import (
	"context"
	"net/http"
	"strings"

	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
)

// setup is the page with the files that a host needs.
type setup struct {
	Host, Image string
	NoFallback  bool
	Files       string // empty until somebody asks
	Command     string // makes them on the host
	Signs       bool   // there is a key for it
	Wrong       string // why there are none
}

// setup makes the files when a name or an image is asked for.
func (h *Handler) setup(_ context.Context, r *http.Request, _ *operate.StatusReport) (*view, error) {
	q := r.URL.Query()
	p := &setup{Host: q.Get("host"), Image: q.Get("image"),
		NoFallback: q.Get("no-fallback") == "1"}
	proxy := h.Hosts()
	p.Signs = len(proxy.Keys) > 0
	if p.Host == "" && len(proxy.Names) > 0 {
		p.Host = proxy.Names[0]
	}
	v := &view{template: "setup", title: "Set up a host", section: "setup", body: p}
	if !q.Has("host") && !q.Has("image") {
		return v, nil
	}
	if p.Host == "" {
		p.Wrong = "By which name do hosts know this proxy? Write it above, or set signing.names."
		return v, nil
	}
	config, err := hosts.Make(hosts.Setup{Name: p.Host, Proxy: proxy, NoFallback: p.NoFallback,
		Images: asked(q["image"])})
	if err != nil {
		p.Wrong = err.Error()
		return v, nil //nolint:nilerr // the page says what is wrong
	}
	var text strings.Builder
	_ = config.Print(&text) // which never fails
	p.Files, p.Command = text.String(), config.Command
	return v, nil
}

// asked leaves out what was left empty.
func asked(images []string) []string {
	var out []string
	for _, image := range images {
		if image != "" {
			out = append(out, image)
		}
	}
	return out
}
