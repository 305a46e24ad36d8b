package delta

import (
	"context"
	"fmt"
	"io"
)

// Delta is a delta that is being read. It is for one goroutine.
type Delta struct {
	header Header
}

// Open reads a delta's header from r. Errors wrap ErrInvalid or ErrLimit, or are r's.
func Open(r io.Reader, lim Limits) (*Delta, error) {
	return nil, fmt.Errorf("open a delta: %w", ErrInvalid)
}

// Header returns what the delta says of itself.
func (d *Delta) Header() Header { return d.header }

// Apply reads the rest of the delta and writes the layer's tar stream to w, once. It writes while it reads, and knows only
// in the end whether the bytes are right: who passes them on holds the last ones back until Apply returns nil. Errors wrap
// ErrSource, ErrEncoder, ErrInvalid or ErrLimit, or are those of w, the delta's reader or the context.
func (d *Delta) Apply(ctx context.Context, w io.Writer, o ApplyOptions) error {
	return fmt.Errorf("apply a delta: %w", ErrInvalid)
}
