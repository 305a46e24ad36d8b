package via

import (
	"errors"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/edge/seed"
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
	// Slow: this delta came too slowly to be worth it, or was applied too slowly, or the central let others wait of late.
	Slow Reason = "slow"
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
	// Local: files of this machine could not be read or written for now.
	Local Reason = "local"
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{NoCentral, NoSeed, Refused, Wait, Slow, Again, Link, BadSource, Encoder, Damaged, Digest, Space, Local}
}

// reasonOf says what an error of making a layer means.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, errSlow), errors.Is(err, errLate):
		return Slow
	case errors.Is(err, scan.ErrSpoolFull), errors.Is(err, workspace.ErrUsedUp), errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EDQUOT), errors.Is(err, chunkstore.ErrNoSpace):
		return Space
	case errors.Is(err, delta.ErrLimit): // a seed's files may be over one
		return Damaged
	case errors.Is(err, seed.ErrUnreadable), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EIO):
		return Local
	case errors.Is(err, delta.ErrSource):
		return BadSource
	case errors.Is(err, delta.ErrEncoder):
		return Encoder
	case errors.Is(err, delta.ErrInvalid):
		return Damaged
	case errors.Is(err, verify.ErrMismatch):
		return Digest
	}
	return Link
}

// pair is a layer and the image that it was to be made of.
type pair struct{ seed, layer digest.Digest }

// failure is when a pair may be tried again.
type failure struct {
	until time.Time
	why   Reason
}

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
	if why == Link || why == Slow || why == Space || why == Local {
		wait = passing
	}
	s.failed.Add(p, failure{s.Now().Add(wait), why})
}

// forgive forgets that a layer's deltas could not be had, since the layer itself could not be had either: the link is to
// blame, and not a pair.
func (s *Source) forgive(layer digest.Digest) {
	for _, p := range s.failed.Keys() {
		if f, ok := s.failed.Peek(p); ok && p.layer == layer && f.why == Link {
			s.failed.Remove(p)
		}
	}
}

// mayTry reports whether a pair did not go wrong of late.
func (s *Source) mayTry(p pair) bool {
	f, ok := s.failed.Get(p)
	return !ok || !s.Now().Before(f.until)
}
