package state

import (
	"errors"
	"fmt"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
)

// verified reads stored content, which ends in an error when its bytes are not those of the digest: disks rot. The error
// wraps chunkstore.ErrCorrupt, and rechunk.ErrNotFound because the content is gone then.
type verified struct {
	*verify.Reader
	damaged func(cause error) // puts the content aside
	err     error             // what became of a mismatch
}

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.Reader.Read(p)
	if errors.Is(err, verify.ErrMismatch) {
		err = fmt.Errorf("stored content: %w: %w: %w", err, chunkstore.ErrCorrupt, rechunk.ErrNotFound)
		v.err = err
		v.damaged(err)
	}
	return n, err
}
