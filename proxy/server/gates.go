package server

import (
	"net/http"

	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/registry"
)

// clientGate lets clients in by the newest configuration.
type clientGate struct{ *swap[*access.Gate] }

var _ registry.Access = clientGate{}

// Authorize implements registry.Access.
func (g clientGate) Authorize(w http.ResponseWriter, r *http.Request, want registry.Want) (registry.Grant, error) {
	gate, done := g.use()
	defer done()
	return gate.Authorize(w, r, want)
}

// operatorGate lets operators in by the newest configuration.
type operatorGate struct{ *swap[*access.Operators] }

var _ admin.Login = operatorGate{}

// LogsIn implements admin.Login.
func (g operatorGate) LogsIn() bool {
	operators, done := g.use()
	defer done()
	return operators.LogsIn()
}

// Check implements admin.Login.
func (g operatorGate) Check(w http.ResponseWriter, r *http.Request) (status int, message string) {
	operators, done := g.use()
	defer done()
	return operators.Check(w, r)
}
