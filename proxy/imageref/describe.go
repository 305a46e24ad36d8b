package imageref

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits of messages in bytes.
const (
	maxAnswer  = 600  // what a registry's answer, an HTML page perhaps, adds to ours
	maxRefusal = 2500 // a Strata's word on an image: key, and why each signature does not do
	maxMessage = 4000 // a reference may be long
)

// describe says what failed on which reference, in one line, and what to do about it where that is known.
func (r Ref) describe(op string, err error) error {
	return fmt.Errorf("%s %s: %w", op, r, oneLine(err, maxMessage))
}

// registryError adds to a registry's answer what can be done about it.
func registryError(host string, err error) error {
	if err == nil {
		return nil
	}
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return oneLine(err, maxAnswer)
	}
	if message, ok := deniedByPolicy(answer); ok {
		return oneLine(&lineError{message: host + ": " + message, cause: err}, maxRefusal)
	}
	err = oneLine(err, maxAnswer)
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w; check the name, or log in: podman login %s", err, host)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w; check the name and the tag", ErrNotFound, err)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w; the registry limits requests, try again later", err)
	}
	return err
}

// deniedByPolicy returns what a Strata says of an image that it refuses for its signatures: whose is missing. Its detail is
// {"denied_by": "verify"}, and no login helps.
func deniedByPolicy(answer *transport.Error) (string, bool) {
	for _, d := range answer.Errors {
		if detail, ok := d.Detail.(map[string]any); ok && detail["denied_by"] == "verify" && d.Message != "" {
			return d.Message, true
		}
	}
	return "", false
}

// join combines errors in one line, where errors.Join takes one for each. It returns nil if all are.
func join(errs ...error) error {
	var all error
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// lineError is an error with its message made presentable.
type lineError struct {
	message string
	cause   error
}

func (e *lineError) Error() string { return e.message }
func (e *lineError) Unwrap() error { return e.cause }

// oneLine returns err with a message of about limit bytes at most, which is legible.
func oneLine(err error, limit int) error {
	message := err.Error()
	if len(message) <= limit && legible.Plain(message) {
		return err
	}
	return &lineError{message: shorten(legible.Line(strings.Join(strings.Fields(message), " ")), limit), cause: err}
}

// shorten cuts s to about n bytes and marks the cut.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
