package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/registry"
)

// operatorConnections is how many connections the listener for operators takes.
const operatorConnections = 1024

func clientLimits(c *config.Config) *connLimits {
	return &connLimits{total: c.Limits.Connections, perAddress: c.Limits.ConnectionsPerAddress, stall: time.Duration(c.Limits.StallTimeout)}
}

func operatorLimits(c *config.Config) *connLimits {
	return &connLimits{total: operatorConnections, stall: time.Duration(c.Limits.StallTimeout)}
}

// answerAfterEnd is how long an answer may still be written that says that there was no time for one.
const answerAfterEnd = 5 * time.Second

// bounded holds requests to the limits on their bodies and their time.
func bounded(next http.Handler, live func() *config.Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limits := live().Limits
		control := http.NewResponseController(w)
		if r.ContentLength != 0 && !readBody(control, r, limits) {
			w.Header().Set("Connection", "close")
			registry.WriteError(w, r, &registry.Error{
				Status: http.StatusRequestEntityTooLarge, Code: "UNSUPPORTED",
				Message: fmt.Sprintf("the body did not come in time or is longer than the limit of %s", limits.BodyBytes),
			})
			return
		}
		total := time.Duration(limits.RequestTimeout)
		if total <= 0 {
			_ = control.SetWriteDeadline(time.Time{}) // an earlier request of the connection may have had one
			next.ServeHTTP(w, r)
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(total + answerAfterEnd)) // where there are no deadlines, the context does it
		ctx, cancel := context.WithTimeout(r.Context(), total)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// readBody takes a body, which nothing here needs, off the connection. It reports false when it is too long or too slow.
func readBody(control *http.ResponseController, r *http.Request, limits config.Limits) bool {
	if r.ContentLength > int64(limits.BodyBytes) {
		return false
	}
	_ = control.SetReadDeadline(time.Now().Add(time.Duration(limits.HeaderTimeout)))
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, int64(limits.BodyBytes)+1))
	if err != nil || n > int64(limits.BodyBytes) {
		return false // the deadline stays for what else would be read of the body
	}
	return control.SetReadDeadline(time.Time{}) == nil
}
