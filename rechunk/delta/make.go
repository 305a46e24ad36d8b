package delta

import (
	"context"
	"fmt"
	"io"
)

// Make writes a delta that makes the layer t of files of the seed s. It streams: the header is written before t.Tar is read,
// and what follows as files are done with. Equal arguments give equal deltas, as long as Encoders and Trials find the same.
//
// Errors are those of w, of t.Tar, of o's parts, and the context's; ErrSource when a file of the seed is not what Seed says,
// and ErrInvalid when the tar stream has not the length or the digest that t says. What was written to w is of no use then.
func Make(ctx context.Context, w io.Writer, t Target, s Seed, o Options) (Report, error) {
	return Report{}, fmt.Errorf("make a delta: %w", ErrInvalid)
}
