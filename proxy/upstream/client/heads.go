package client

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// heads are the attempts of one operation to do with HEAD. Registries and content networks fail it in many ways where GET
// works, so a HEAD that fails proves nothing; but where the failure may pass, GET is a next attempt, not a second request
// of this one.
type heads struct {
	session *session
	over    bool // the next attempt is GET's
}

// ask sends a HEAD and returns the answer, its body closed. Without an answer and an error, GET is to be asked now. An
// error is for good where GET would fare no better.
func (h *heads) ask(ctx context.Context, r transport.Request) (*transport.Response, error) {
	if h.over {
		return nil, nil
	}
	r.Method = http.MethodHead
	resp, err := h.session.send(ctx, r)
	if err != nil {
		if ctx.Err() != nil || hopelessWay(err) {
			return nil, err
		}
		return nil, h.later(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, resp.Body.Close()
	}
	e := upstream.StatusError(resp.Response, h.session.client.options.Now())
	switch {
	case e.Kind == upstream.RateLimited:
		return nil, e
	case e.Transient():
		return nil, h.later(e)
	}
	return resp, nil
}

// later returns the error of an attempt that GET is to follow, if there is another one.
func (h *heads) later(err error) error {
	h.over = true
	if h.session.host.attempts == 1 {
		return nil
	}
	return err
}

// hopelessWay reports whether a request failed for a reason that has nothing to do with its method: it was not sent, we
// are not let in, nobody is there, or nobody answers in time.
func hopelessWay(err error) bool {
	var (
		ours *upstream.Error
		op   *net.OpError
	)
	return errors.As(err, &ours) || errors.As(err, &op) && op.Op == "dial" || upstream.Classify(err) != upstream.Unavailable
}
