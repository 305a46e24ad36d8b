package chunks

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/tree"
)

// errTooMany says that an image has too many chunks.
var errTooMany = errors.New("too many chunks")

// errFull says that enough images wait.
var errFull = errors.New("too many images wait for being cut")

// lostError says that a chunk of a layer is not stored any more, or damaged.
type lostError struct {
	layer digest.Digest
	err   error
}

// Error implements error.
func (e *lostError) Error() string {
	return "a chunk of layer " + e.layer.String() + ": " + e.err.Error()
}

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.err }

// lost reports whether an error says that stored content is gone or damaged.
func lost(err error) bool {
	return errors.Is(err, chunkstore.ErrNotFound) || errors.Is(err, rechunk.ErrNotFound) ||
		errors.Is(err, chunkstore.ErrCorrupt) || errors.Is(err, casync.ErrInvalid)
}

// failure is why an image could not be cut, until it may be tried again.
type failure struct {
	err   error
	until time.Time
}

// failedFor is how long a failure is believed.
const failedFor = time.Minute

// Times after which clients ask again for what is made, and for what there was no room for.
const (
	retryMade = 5 * time.Second
	retryFull = 30 * time.Second
)

// clientError turns an error into what a client is told.
func clientError(err error) error {
	var own *registry.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, image.ErrPassThrough), errors.Is(err, image.ErrInvalid), errors.Is(err, tree.ErrInvalid),
		errors.Is(err, tree.ErrLimit), errors.Is(err, errTooMany):
		return registry.ManifestUnknown("there are no chunks of this image: " + err.Error()).WithCause(err)
	case errors.Is(err, errFull):
		return registry.TooManyRequests(retryFull).WithCause(err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, chunkstore.ErrNoSpace):
		return registry.Unavailable("the proxy's disk is full or read-only", time.Minute).WithCause(err)
	}
	return registry.Unavailable("the chunks could not be made", retryFull).WithCause(err)
}
