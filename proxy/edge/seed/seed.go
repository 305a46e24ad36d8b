// Package seed has the files that an edge need not fetch: those of images whose layers are in its store (Store), and those
// of a root file system (Root). Neither is trusted: what is made of them counts only when its digest is right.
package seed

import (
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta"
)

// Files are the files of one image, for who makes a layer of them. Close frees what they take; no Content of theirs is used
// after that.
type Files interface {
	delta.Contents
	io.Closer
}

// ErrUnreadable says that files could not be read for now, which says nothing of what they are.
var ErrUnreadable = errors.New("the seed's files cannot be read")

// ErrClosed says that there are no files any more: the program ends.
var ErrClosed = errors.New("seeds are closed")

// missing is the error of a file that is not there as the delta names it.
func missing(f delta.File, why string) error {
	return fmt.Errorf("%w: %s: %s", delta.ErrSource, f.Path, why)
}
