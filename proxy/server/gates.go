package server

import (
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/registry"
)

// clientGate lets clients in by the newest configuration.
type clientGate struct{ *atomic.Pointer[access.Gate] }

var _ registry.Access = clientGate{}

// Authorize implements registry.Access.
func (g clientGate) Authorize(w http.ResponseWriter, r *http.Request, want registry.Want) (registry.Grant, error) {
	return g.Load().Authorize(w, r, want)
}

// operatorsName reports whether operators may call their listener by a name: the configuration lists it, or the certificate
// that the listener shows is for it.
func (s *Server) operatorsName(host string) bool {
	if slices.Contains(s.live.Load().Admin.Hosts, host) {
		return true
	}
	if s.operator.certs == nil {
		return false
	}
	file := s.operator.certs.file.Load()
	if file == nil {
		return false
	}
	return isFor(file.Get().Certificates, host)
}

// operatorGate lets operators in by the newest configuration.
type operatorGate struct {
	*atomic.Pointer[access.Operators]
}

var _ admin.Login = operatorGate{}

// LogsIn implements admin.Login.
func (g operatorGate) LogsIn() bool { return g.Load().LogsIn() }

// Check implements admin.Login.
func (g operatorGate) Check(w http.ResponseWriter, r *http.Request) (by string, status int, message string) {
	return g.Load().Check(w, r)
}

// loginRefused tells of a request to the operators' listener that is not let in.
func (s *Server) loginRefused(r *http.Request, way admin.Way) { s.refusals.Note(r, string(way)) }

// wrongNotification tells of a registry that does not know the secret, and slows it down like who guesses a login.
func (s *Server) wrongNotification(r *http.Request) error {
	s.refusals.Note(r, metrics.LoginNotification)
	return s.operators.Load().Wrong(r)
}
