package layer

import (
	"archive/tar"
	"fmt"
	"time"

	"github.com/strata-oci/strata/rechunk/tree"
)

// setHeader makes h the tar header of an entry: ustar where everything fits, with PAX records where it does not.
func setHeader(h *tar.Header, e *tree.Entry) error {
	*h = tar.Header{
		Format: tar.FormatPAX, Name: e.Path, Mode: int64(e.Mode), Uid: e.UID, Gid: e.GID,
		ModTime: time.Unix(e.Sec, int64(e.Nsec)),
	}
	switch e.Kind {
	case tree.Dir:
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case tree.Regular:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case tree.Char:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, e.Major, e.Minor
	case tree.Block:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeBlock, e.Major, e.Minor
	case tree.Fifo:
		h.Typeflag = tar.TypeFifo
	default:
		return fmt.Errorf("%q has no kind", e.Path)
	}
	if len(e.Xattrs) > 0 {
		h.PAXRecords = make(map[string]string, len(e.Xattrs))
		for _, x := range e.Xattrs {
			h.PAXRecords["SCHILY.xattr."+x.Name] = x.Value
		}
	}
	return nil
}
