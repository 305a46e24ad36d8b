package server

import (
	"net/http"
	"sync/atomic"

	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/registry"
)

// clientGate lets clients in by the newest configuration.
type clientGate struct{ *atomic.Pointer[access.Gate] }

var _ registry.Access = clientGate{}

// Authorize implements registry.Access.
func (g clientGate) Authorize(w http.ResponseWriter, r *http.Request, want registry.Want) (registry.Grant, error) {
	return g.Load().Authorize(w, r, want)
}

// operatorGate lets operators in by the newest configuration.
type operatorGate struct {
	*atomic.Pointer[access.Operators]
}

var _ admin.Login = operatorGate{}

// LogsIn implements admin.Login.
func (g operatorGate) LogsIn() bool { return g.Load().LogsIn() }

// Check implements admin.Login.
func (g operatorGate) Check(w http.ResponseWriter, r *http.Request) (status int, message string) {
	return g.Load().Check(w, r)
}
