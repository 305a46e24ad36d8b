package state

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk"
)

// verified reads stored content and gives an error instead of io.EOF when its bytes are not those of the digest: disks rot. The
// error wraps chunkstore.ErrCorrupt, and rechunk.ErrNotFound because it is gone then.
type verified struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // of Open, which the reader lives in
	store *Store
	want  digest.Digest
	sum   digest.Verifier
	err   error // the reader's last word
}

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.ReadCloser.Read(p)
	if _, sumErr := v.sum.Write(p[:n]); sumErr != nil {
		err = sumErr
	}
	if err == io.EOF && !v.sum.Verified() {
		err = fmt.Errorf("stored content %s: %w: %w", v.want, chunkstore.ErrCorrupt, rechunk.ErrNotFound)
		v.remove()
	}
	v.err = err
	return n, err
}

// remove drops the damaged content: the store would take it for the real one for ever.
func (v *verified) remove() {
	ctx := context.WithoutCancel(v.ctx)
	v.store.log.WarnContext(ctx, "stored content is damaged and removed", "digest", v.want.String())
	if err := v.store.chunks.Delete(ctx, v.want); err != nil {
		v.store.log.ErrorContext(ctx, "damaged content could not be removed", "digest", v.want.String(), "error", err)
	}
}
