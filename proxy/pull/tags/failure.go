package tags

import (
	"errors"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Failures are tried again, but not in a loop: after a minute at first, then ever later.
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
	// spaceRetry is the longest pause while the disk is full: somebody or the quota makes room.
	spaceRetry = 10 * time.Minute
	// signatureRetry is the longest pause while an image is not signed as configured: its signature may be on its way.
	signatureRetry = 10 * time.Minute
	// noRoom goes before the error of an image that the disk has no room for, which names a file at most.
	noRoom = "there is too little space for it, which strata gc, a smaller quota or a larger filesystem for the store and work_dir mends: "
	// maxErrorText bounds what a record holds of an error, in bytes.
	maxErrorText = 2048
)

// newFailure is the failure of a source image that comes after those noted in the record before, which may be nil.
func newFailure(source digest.Digest, before *catalog.Tag, now time.Time, err error) *catalog.Failure {
	text := err.Error()
	if jobs.NoSpace(err) && !errors.Is(err, workspace.ErrUsedUp) { // which says itself what helps
		text = noRoom + text
	}
	f := &catalog.Failure{Source: source, Error: text[:min(len(text), maxErrorText)], Tries: 1}
	if before != nil && before.Failure != nil && before.Failure.Source == source {
		f.Tries = before.Failure.Tries + 1
	}
	wait := min(firstRetry<<min(max(f.Tries-1, 0), 10), lastRetry)
	var said *registry.Error
	switch {
	case errors.As(err, &said) && said.Status == http.StatusForbidden:
		wait = min(wait, signatureRetry)
	case jobs.NoSpace(err):
		wait = min(wait, spaceRetry)
	case rechunk.OverBudget(err), errors.Is(err, jobs.ErrDied):
		wait = lastRetry
	}
	f.RetryAt = now.Add(wait).UTC()
	return f
}
