package service

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// failure says that a source image could not be rechunked, or not all of its platforms.
type failure struct {
	// Source is the image that the upstream's tag led to.
	Source digest.Digest `json:"source_digest"`
	Error  string        `json:"error"`
	// RetryAt is when it is tried again, Tries how often it was.
	RetryAt time.Time `json:"retry_at"`
	Tries   int       `json:"tries"`
}

// Failures are tried again, but not in a loop: after a minute at first, then ever later.
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
	// maxErrorText bounds what a record holds of an error, in bytes.
	maxErrorText = 2048
)

// newFailure is the failure of a source image that comes after those noted in the record before, which may be nil.
func newFailure(source digest.Digest, before *tagRecord, now time.Time, err error) *failure {
	text := err.Error()
	f := &failure{Source: source, Error: text[:min(len(text), maxErrorText)], Tries: 1}
	if before != nil && before.Failure != nil && before.Failure.Source == source {
		f.Tries = before.Failure.Tries + 1
	}
	wait := firstRetry << min(max(f.Tries-1, 0), 10)
	f.RetryAt = now.Add(min(wait, lastRetry)).UTC()
	return f
}

// outOfReach reports whether it was the upstream that failed, and only for now.
func outOfReach(err error) bool {
	var up *upstream.Error
	return errors.As(err, &up) && up.Transient()
}
