package central

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Why there is no delta: the words of docs/protocol.md.
const (
	noSeed  = "seed"
	noLayer = "layer"
	noGain  = catalog.DeltaNoGain
	tooMuch = catalog.DeltaTooMuch
	failed  = "failed"
	turned  = "off"
)

// errNoGain ends a delta that is hardly smaller than the blob.
var errNoGain = errors.New("the delta is not smaller than nine tenths of the blob")

// refusal is the answer that there is no delta.
func refusal(reason, message string) error {
	return &registry.NoDelta{Reason: reason, Message: message}
}

// For how long a reason is believed.
const (
	gainFor  = 7 * 24 * time.Hour
	muchFor  = 24 * time.Hour
	panicFor = 24 * time.Hour
	failFor  = time.Hour
)

// busyFor is how long a reason is believed that others are to blame for.
const busyFor = time.Minute

// reason says why a delta could not be made, and how long that is believed: 0 for what says nothing of the delta.
func reason(err error) (word string, believed time.Duration) {
	var panicked *background.PanicError
	switch {
	case errors.Is(err, errNoGain):
		return noGain, gainFor
	case errors.As(err, &panicked):
		return failed, panicFor
	case errors.Is(err, flight.ErrClosed), errors.Is(err, background.ErrClosed), errors.Is(err, context.Canceled):
		return "", 0
	case errors.Is(err, errLostSeed):
		return noSeed, 0
	case errors.Is(err, errLostLayer):
		return noLayer, 0
	case errors.Is(err, errBroken), errors.Is(err, chunkstore.ErrNoSpace), errors.Is(err, chunkstore.ErrUnreachable):
		return failed, 0
	case errors.Is(err, workspace.ErrUsedUp), errors.Is(err, flight.ErrNoSpace), errors.Is(err, seed.ErrUnreadable):
		return failed, busyFor
	case errors.Is(err, delta.ErrLimit), errors.Is(err, tree.ErrLimit), errors.Is(err, scan.ErrSpoolFull),
		errors.Is(err, flight.ErrTooLarge):
		return tooMuch, muchFor
	}
	return failed, failFor
}

// hinders returns what of the store keeps deltas from being made, nil for anything else: it says nothing of a delta, and is
// not believed beyond the moment.
func hinders(err error) error {
	for _, cause := range []error{chunkstore.ErrNoSpace, chunkstore.ErrUnreachable} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return nil
}

// hinder says that the store keeps deltas from being made: in the log once for each cause until one is made again, and
// among the deltas for a minute. No record is written of it, where it would be in the way of the next question.
func (c *Central) hinder(ctx context.Context, j *job, key catalog.DeltaKey, err error) {
	cause := hinders(err)
	if cause == nil || j.above != nil {
		return
	}
	now := c.Now().UTC()
	c.shelf.put(key, catalog.Delta{
		BlobSize: j.size, Repository: j.repo.String(), Worth: j.worth, Allowed: j.allowed, At: now, Refused: failed,
		Message: message(err), Until: now.Add(busyFor),
	}, now)
	c.mu.Lock()
	said := errors.Is(cause, c.hindered)
	c.hindered = cause
	c.mu.Unlock()
	if !said {
		c.Logger.WarnContext(ctx, "deltas can't be made: the store fails", "repository", j.repo.String(), "layer",
			j.layer.String(), "error", err)
	}
}

// told is what clients hear of a reason: nothing of what happened inside.
func told(word string) string {
	switch word {
	case noSeed:
		return "none of the seeds is an image of this repository that is stored here"
	case noLayer:
		return "it is not known how the layer's blob is made of its tar stream"
	case noGain:
		return errNoGain.Error()
	case tooMuch:
		return "the layer or the seed is over a limit"
	case turned:
		return "no deltas are made here"
	}
	return "the delta could not be made"
}

// maxMessage bounds what of an error is kept in a record, in bytes.
const maxMessage = 512

func message(err error) string {
	text := fmt.Sprint(err)
	return text[:min(len(text), maxMessage)]
}
