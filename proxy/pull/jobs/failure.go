package jobs

import (
	"errors"
	"syscall"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Passing reports whether a failure says nothing about the image: the upstream is out of reach, or the disk is full.
func Passing(err error) bool { return outOfReach(err) || NoSpace(err) }

// NoSpace reports whether the store or the directory for temporary files is full.
func NoSpace(err error) bool {
	return errors.Is(err, chunkstore.ErrNoSpace) || errors.Is(err, flight.ErrNoSpace) ||
		errors.Is(err, workspace.ErrUsedUp) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// outOfReach reports whether it was the upstream that failed, and only for now.
func outOfReach(err error) bool {
	var up *upstream.Error
	return errors.As(err, &up) && up.Transient()
}
