package server

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/server/wiring"
)

// edge says how images come from other Stratas, or nothing where none do.
func (s *Server) edge() *wiring.Edge {
	if !s.cfg.Edge() {
		return nil
	}
	e := &wiring.Edge{
		Behind: func(host string) bool { return s.live.Load().Via(host) },
		Settings: func() via.Settings {
			d := s.live.Load().Deltas
			return via.Settings{Wait: time.Duration(d.Wait), FewestBytes: d.Prefer == config.PreferBytes}
		},
		KeepsLayers: s.cfg.KeepsLayers(), Parallel: max(s.cfg.Deltas.CPU, 1),
	}
	for _, r := range s.cfg.Seeds {
		if r.Root != "" {
			e.Roots = append(e.Roots, via.Root{Root: seed.NewRoot(r.Root), Told: digest.Digest(r.Image)})
		}
	}
	return e
}
