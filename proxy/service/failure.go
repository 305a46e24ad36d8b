package service

import (
	"errors"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/upstream"
)

// Failures are tried again, but not in a loop: after a minute at first, then ever later.
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
	// spaceRetry is the longest pause while the disk is full: somebody or the quota makes room.
	spaceRetry = 10 * time.Minute
	// maxErrorText bounds what a record holds of an error, in bytes.
	maxErrorText = 2048
)

// newFailure is the failure of a source image that comes after those noted in the record before, which may be nil.
func newFailure(source digest.Digest, before *catalog.Tag, now time.Time, err error) *catalog.Failure {
	text := err.Error()
	f := &catalog.Failure{Source: source, Error: text[:min(len(text), maxErrorText)], Tries: 1}
	if before != nil && before.Failure != nil && before.Failure.Source == source {
		f.Tries = before.Failure.Tries + 1
	}
	wait := min(firstRetry<<min(max(f.Tries-1, 0), 10), lastRetry)
	if noSpace(err) {
		wait = min(wait, spaceRetry)
	}
	f.RetryAt = now.Add(wait).UTC()
	return f
}

// passing reports whether a failure says nothing about the image: the upstream is out of reach, or the disk is full.
func passing(err error) bool { return outOfReach(err) || noSpace(err) }

// noSpace reports whether the store or the directory for temporary files is full.
func noSpace(err error) bool {
	return errors.Is(err, chunkstore.ErrNoSpace) || errors.Is(err, flight.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EDQUOT)
}

// outOfReach reports whether it was the upstream that failed, and only for now.
func outOfReach(err error) bool {
	var up *upstream.Error
	return errors.As(err, &up) && up.Transient()
}
