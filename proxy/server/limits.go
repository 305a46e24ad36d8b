package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/limits"
	"github.com/strata-oci/strata/proxy/registry"
)

// What operators take of the listener for them: few people, and what asks for metrics.
const (
	operatorConnections = 1024
	operatorsOfAddress  = 512 // of the connections, those from one address, and of the requests
)

func clientLimits(c *config.Config) *connLimits {
	return &connLimits{total: c.Limits.Connections, perAddress: c.Limits.ConnectionsPerAddress,
		stall: time.Duration(c.Limits.StallTimeout)}
}

func operatorLimits(c *config.Config) *connLimits {
	return &connLimits{total: operatorConnections, perAddress: operatorsOfAddress,
		stall: time.Duration(c.Limits.StallTimeout)}
}

// sharedOut holds each client to its part of what there is for all: requests under way, and questions that lead nowhere.
func sharedOut(next http.Handler, live func() *config.Config) http.Handler {
	misses := limits.NewMisses().Hold(next, func() float64 { return float64(live().Limits.MissesPerAddress) },
		func(w http.ResponseWriter, r *http.Request, wait time.Duration) {
			e := registry.TooManyRequests(wait)
			e.Message = "too many questions for what is not there come from this address"
			registry.WriteError(w, r, e)
		})
	return limits.Requests(misses,
		func() (all, each int) { return live().Limits.Requests, live().Limits.RequestsPerAddress },
		func(w http.ResponseWriter, r *http.Request) {
			e := registry.TooManyRequests(requestRetry)
			e.Message = "too many requests are under way"
			registry.WriteError(w, r, e)
		})
}

// requestRetry is when a client may come back whose request was one too many.
const requestRetry = 5 * time.Second

// operated holds operators' requests to their number and to the time that their bodies may take.
func operated(next http.Handler, timeout time.Duration) http.Handler {
	timed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			// where there are no deadlines, that of the connection does it
			_ = control.SetReadDeadline(time.Now().Add(timeout))
			r.Body = &timedBody{r.Body, control}
		}
		next.ServeHTTP(w, r)
	})
	return limits.Requests(timed, func() (all, each int) { return operatorConnections, operatorsOfAddress },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"error":"too many requests are under way"}`+"\n") // who left does not hear of it
		})
}

// timedBody is a body with a deadline, which ends with it: the answer may take longer. What nobody reads of it keeps the
// deadline.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads on.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // an answer that takes long ends then, too
	}
	return n, err
}

// answerAfterEnd is how long an answer may still be written that says that there was no time for one.
const answerAfterEnd = 5 * time.Second

// bounded holds requests to the limits on their bodies and their time.
func bounded(next http.Handler, live func() *config.Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := live().Limits
		control := http.NewResponseController(w)
		if r.ContentLength != 0 && !readBody(control, r, most) {
			w.Header().Set("Connection", "close")
			registry.WriteError(w, r, &registry.Error{
				Status: http.StatusRequestEntityTooLarge, Code: "UNSUPPORTED",
				Message: fmt.Sprintf("the body did not come in time or is longer than the limit of %s", most.BodyBytes),
			})
			return
		}
		total := time.Duration(most.RequestTimeout)
		if total <= 0 {
			_ = control.SetWriteDeadline(time.Time{}) // an earlier request of the connection may have had one
			next.ServeHTTP(w, r)
			return
		}
		// where there are no deadlines, the context does it
		_ = control.SetWriteDeadline(time.Now().Add(total + answerAfterEnd))
		ctx, cancel := context.WithTimeout(r.Context(), total)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// readBody takes a body, which nothing here needs, off the connection. It reports false when it is too long or too slow.
func readBody(control *http.ResponseController, r *http.Request, most config.Limits) bool {
	if r.ContentLength > int64(most.BodyBytes) {
		return false
	}
	_ = control.SetReadDeadline(time.Now().Add(time.Duration(most.HeaderTimeout)))
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, int64(most.BodyBytes)+1))
	if err != nil || n > int64(most.BodyBytes) {
		return false // the deadline stays for what else would be read of the body
	}
	return control.SetReadDeadline(time.Time{}) == nil
}
