package via

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Reason is why a layer was fetched whole. The values are stable and serve as metric labels.
type Reason string

// The reasons for fetching a layer whole.
const (
	// NoCentral: the upstream makes no deltas.
	NoCentral Reason = "central"
	// NoSeed: there is no image here to make it of.
	NoSeed Reason = "seed"
	// Refused: the central has none.
	Refused Reason = "refused"
	// Wait: the central was not done in time.
	Wait Reason = "wait"
	// Again: with all of the images that are here, it went wrong a while ago.
	Again Reason = "again"
	// Link: the delta could not be fetched, or broke off.
	Link Reason = "link"
	// BadSource: a seed's file is not the one of the delta.
	BadSource Reason = "source"
	// Encoder: what was wrapped again has other bytes, or what compresses the layer is not here.
	Encoder Reason = "encoder"
	// Damaged: the delta is none, is over a limit, or was not the one that was asked for.
	Damaged Reason = "delta"
	// Digest: what was made is not the layer.
	Digest Reason = "digest"
	// Space: there is no room for temporary files.
	Space Reason = "space"
)

// reasonOf says what an error of making a layer means.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, scan.ErrSpoolFull), errors.Is(err, workspace.ErrUsedUp):
		return Space
	case errors.Is(err, delta.ErrSource):
		return BadSource
	case errors.Is(err, delta.ErrEncoder):
		return Encoder
	case errors.Is(err, delta.ErrInvalid), errors.Is(err, delta.ErrLimit):
		return Damaged
	case errors.Is(err, verify.ErrMismatch):
		return Digest
	}
	return Link
}

// pair is a layer and the image that it was to be made of.
type pair struct{ seed, layer digest.Digest }

// failure is when a pair may be tried again.
type failure struct{ until time.Time }

const (
	// maxFailed bounds the pairs that are remembered.
	maxFailed = 4096
	// lasting is how long a pair is not tried again, and passing when what went wrong may be over soon.
	lasting = 6 * time.Hour
	passing = 5 * time.Minute
)

// fail remembers that a pair went wrong.
func (s *Source) fail(p pair, why Reason) {
	wait := lasting
	if why == Link || why == Space {
		wait = passing
	}
	s.failed.Add(p, failure{s.Now().Add(wait)})
}

// mayTry reports whether a pair did not go wrong of late.
func (s *Source) mayTry(p pair) bool {
	f, ok := s.failed.Get(p)
	return !ok || !s.Now().Before(f.until)
}
