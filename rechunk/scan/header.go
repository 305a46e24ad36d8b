package scan

import (
	"archive/tar"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// entry makes the entry that a header describes, all but a file's content; p is its clean path.
func entry(h *tar.Header, p string, b *tree.Budget) (*tree.Entry, error) {
	e := &tree.Entry{
		Path: p, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, Sec: h.ModTime.Unix(),
		Nsec: int32(h.ModTime.Nanosecond()),
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Kind = tree.Regular
	case tar.TypeDir:
		e.Kind = tree.Dir
	case tar.TypeSymlink:
		e.Kind, e.Target = tree.Symlink, h.Linkname
	case tar.TypeChar:
		e.Kind, e.Major, e.Minor = tree.Char, h.Devmajor, h.Devminor
	case tar.TypeBlock:
		e.Kind, e.Major, e.Minor = tree.Block, h.Devmajor, h.Devminor
	case tar.TypeFifo:
		e.Kind = tree.Fifo
	default:
		return nil, tree.Invalidf("%q has the unknown type %q", h.Name, h.Typeflag)
	}
	var err error
	e.Xattrs, err = xattrs(h, b)
	return e, err
}

// xattrs collects the extended attributes of a header: star's SCHILY.xattr.NAME and libarchive's LIBARCHIVE.xattr.NAME,
// whose name is percent-encoded and whose value is base64. The former wins, as in libarchive.
func xattrs(h *tar.Header, b *tree.Budget) ([]tree.Xattr, error) {
	const schily, libarchive = "SCHILY.xattr.", "LIBARCHIVE.xattr."
	if len(h.PAXRecords) == 0 {
		return nil, nil
	}
	var out []tree.Xattr
	var encoded []string
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, schily); ok {
			out = append(out, tree.Xattr{Name: strings.Clone(name), Value: strings.Clone(v)})
		} else if name, ok := strings.CutPrefix(k, libarchive); ok {
			encoded = append(encoded, name)
		}
	}
	if len(encoded) > 0 {
		seen := map[string]bool{}
		for _, x := range out {
			seen[x.Name] = true
		}
		slices.Sort(encoded) // several spellings of a name: the first wins
		for _, enc := range encoded {
			x, err := libarchiveXattr(enc, h.PAXRecords[libarchive+enc])
			if err != nil {
				return nil, tree.Invalidf("%q has the attribute %q: %w", h.Name, enc, err)
			}
			if !seen[x.Name] {
				b.Dispute(fmt.Sprintf("the attribute %.100q of %.100q, which only libarchive's record has", x.Name, h.Name))
				seen[x.Name] = true
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func libarchiveXattr(name, value string) (tree.Xattr, error) {
	decoded, err := url.PathUnescape(name)
	if err != nil {
		return tree.Xattr{}, err
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return tree.Xattr{}, err
	}
	return tree.Xattr{Name: strings.Clone(decoded), Value: string(raw)}, nil
}
