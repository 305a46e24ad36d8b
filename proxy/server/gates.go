package server

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/registry"
)

// gates pass each request to the gate of the newest configuration. One that was replaced is closed when its last request has left.
type gates struct {
	mu      sync.Mutex
	current *countedGate
}

type countedGate struct {
	*access.Gate
	users    int
	replaced bool
}

var _ registry.Access = (*gates)(nil)

func newGates(cfg *config.Config, dir string, log *slog.Logger) (*gates, error) {
	g, err := access.NewGate(cfg, dir, log)
	if err != nil {
		return nil, err
	}
	return &gates{current: &countedGate{Gate: g}}, nil
}

// Authorize implements registry.Access.
func (g *gates) Authorize(w http.ResponseWriter, r *http.Request, want registry.Want) (registry.Grant, error) {
	g.mu.Lock()
	gate := g.current
	gate.users++
	g.mu.Unlock()
	defer g.leave(gate)
	return gate.Gate.Authorize(w, r, want)
}

func (g *gates) leave(gate *countedGate) {
	g.mu.Lock()
	gate.users--
	last := gate.replaced && gate.users == 0
	g.mu.Unlock()
	if last {
		_ = gate.Close() // what it leaves behind, the next start removes
	}
}

// replace makes next the gate of all further requests.
func (g *gates) replace(next *access.Gate) {
	g.mu.Lock()
	before := g.current
	before.replaced = true
	g.current = &countedGate{Gate: next}
	last := before.users == 0
	g.mu.Unlock()
	if last {
		_ = before.Close() // as above
	}
}

// Close closes the gate in use.
func (g *gates) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current.Close()
}
