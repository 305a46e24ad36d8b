package state

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
)

// Sink keeps complete downloads in a chunkstore. It is safe for concurrent use.
type Sink struct {
	chunks *chunkstore.Store
}

var _ flight.Sink = (*Sink)(nil)

// NewSink returns a sink into a chunkstore.
func NewSink(chunks *chunkstore.Store) *Sink { return &Sink{chunks} }

// Create implements flight.Sink. What is committed was verified on its way here, and is not hashed again.
func (s *Sink) Create(ctx context.Context, d digest.Digest) (flight.Writer, error) {
	w, err := s.chunks.CreateVerified(ctx)
	if err != nil {
		return nil, err
	}
	return sinkWriter{w, d}, nil
}

type sinkWriter struct {
	*chunkstore.Writer
	want digest.Digest
}

// Commit implements flight.Writer. The size needs no check of its own: the digest has it.
func (w sinkWriter) Commit(ctx context.Context) error {
	_, err := w.Writer.Commit(ctx, chunkstore.Expected{Digest: w.want, Size: chunkstore.AnySize})
	return err
}
