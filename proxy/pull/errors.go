package pull

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

// storageRetry is when clients are asked to come back while the store cannot be reached.
const storageRetry = 5 * time.Second

// ClientError turns an error into what a client is told. notFound is the answer for a thing that the upstream does not have.
func ClientError(err error, notFound func(string) *registry.Error) error {
	var up *upstream.Error
	var own *registry.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, background.ErrClosed), errors.Is(err, flight.ErrClosed):
		return registry.Unavailable("the proxy is shutting down", 5*time.Second).WithCause(err)
	case errors.As(err, &own):
		return err
	case errors.As(err, &up):
		return upstreamError(up, notFound)
	case errors.Is(err, chunkstore.ErrUnreachable):
		return registry.Unavailable("the proxy's storage cannot be reached", storageRetry).WithCause(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, chunkstore.ErrNotFound):
		return notFound("not found").WithCause(err)
	case errors.Is(err, chunkstore.ErrNoSpace), errors.Is(err, flight.ErrNoSpace):
		return registry.Unavailable("the proxy's disk is full or read-only", time.Minute).WithCause(err)
	case errors.Is(err, flight.ErrTooLarge):
		return registry.BadGateway("the upstream's blob is too large").WithCause(err)
	}
	return registry.Unavailable("the proxy's storage failed", 0).WithCause(err)
}

// upstreamError tells what went wrong at the upstream in the words of the distribution specification. A 401 of the
// upstream is no challenge for the client: its credentials are the proxy's business.
func upstreamError(up *upstream.Error, notFound func(string) *registry.Error) error {
	var e *registry.Error
	switch up.Kind {
	case upstream.Protocol:
		e = badAnswer(up)
	case upstream.NotFound:
		e = notFound("not found at " + up.Host)
	case upstream.Unauthorized:
		e = registry.DeniedByUpstream(up.Host +
			" asks for credentials that the proxy does not have, or the repository does not exist")
	case upstream.Denied:
		e = registry.DeniedByUpstream(up.Host + " denies access, or the repository does not exist")
	case upstream.RateLimited:
		e = registry.TooManyRequests(up.RetryAfter)
	case upstream.Timeout:
		e = registry.GatewayTimeout(up.Host + " does not answer in time")
	case upstream.Unavailable:
		if up.Status == http.StatusLoopDetected {
			return registry.LoopDetected(up.Host).WithCause(up)
		}
		e = registry.Unavailable(up.Host+" is out of reach", up.RetryAfter)
	case upstream.NotConfigured:
		e = registry.NameUnknown(up.Host + " is not an upstream of this proxy")
	default:
		e = badAnswer(up)
	}
	return e.WithCause(up)
}

// badAnswer is of an upstream that cannot be used as it is, or as the proxy is set up.
func badAnswer(up *upstream.Error) *registry.Error {
	if up.Untrusted() {
		return registry.BadGateway("the proxy is not set up for the connection to " + up.Host +
			": its log says what to change")
	}
	return registry.BadGateway(up.Host + " gave an answer that can't be used")
}

// unanswered reports whether an error says that an upstream could not be asked, so that what is known counts.
func unanswered(err error) bool {
	var own *registry.Error
	if errors.As(err, &own) {
		return own.Status >= http.StatusInternalServerError
	}
	return upstream.Is(err, upstream.Unavailable, upstream.Timeout, upstream.RateLimited)
}
