package tree

import (
	"archive/tar"
	"encoding/base64"
	"io"
	"net/url"
	"slices"
	"strings"
)

// object makes the inode that a header describes and reads its content; p is its clean path.
func (s *scanner) object(h *tar.Header, p string, body io.Reader) (*inode, error) {
	e := &Entry{
		Path: p, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, Sec: h.ModTime.Unix(), Nsec: int32(h.ModTime.Nanosecond()),
	}
	n := &inode{entry: e}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Kind = Regular
	case tar.TypeDir:
		e.Kind = Dir
	case tar.TypeSymlink:
		e.Kind, e.Target = Symlink, h.Linkname
	case tar.TypeChar:
		e.Kind, e.Major, e.Minor = Char, h.Devmajor, h.Devminor
	case tar.TypeBlock:
		e.Kind, e.Major, e.Minor = Block, h.Devmajor, h.Devminor
	case tar.TypeFifo:
		e.Kind = Fifo
	case tar.TypeLink:
		return n, nil // a hardlink has no header of its own
	default:
		return nil, invalid("%q has the unknown type %q", clip(h.Name), h.Typeflag)
	}
	var err error
	if e.Xattrs, err = xattrs(h); err != nil {
		return nil, err
	}
	if err := checkHeader(e, h.Name, s.lim); err != nil {
		return nil, err
	}
	if e.Kind == Regular {
		err = s.readContent(e, p, h.Size, body)
	}
	return n, err
}

// readContent hashes a file and spools it.
func (s *scanner) readContent(e *Entry, p string, size int64, body io.Reader) error {
	// Sparse files may be larger than the layer, which is why the sum has a limit.
	if size > s.lim.LayerBytes-s.content {
		return limitError("bytes in a layer's files", s.lim.LayerBytes)
	}
	s.content += size
	s.sum.Reset()
	if s.spool != nil {
		if err := s.spool.start(size); err != nil {
			return &localError{err}
		}
	}
	inline := s.inline.open(p, size)
	for {
		n, err := body.Read(s.buf)
		s.sum.Write(s.buf[:n])
		if inline != nil {
			inline.Write(s.buf[:n])
		}
		if s.spool != nil {
			if _, err := s.spool.Write(s.buf[:n]); err != nil {
				return &localError{err}
			}
		}
		if e.Size += int64(n); err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	s.sum.Sum(e.Digest[:0])
	s.inline.close(e.Digest, inline)
	if s.spool != nil {
		s.spool.finish(e.Digest)
	}
	return nil
}

// xattrs collects the extended attributes of a header: star's SCHILY.xattr.NAME and libarchive's LIBARCHIVE.xattr.NAME, whose
// name is percent-encoded and whose value is base64. The former wins, as in libarchive.
func xattrs(h *tar.Header) ([]Xattr, error) {
	const schily, libarchive = "SCHILY.xattr.", "LIBARCHIVE.xattr."
	if len(h.PAXRecords) == 0 {
		return nil, nil
	}
	var out []Xattr
	var encoded []string
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, schily); ok {
			out = append(out, Xattr{strings.Clone(name), strings.Clone(v)})
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
				return nil, invalid("%q has the attribute %q: %w", clip(h.Name), clip(enc), err)
			}
			if !seen[x.Name] {
				seen[x.Name] = true
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func libarchiveXattr(name, value string) (Xattr, error) {
	decoded, err := url.PathUnescape(name)
	if err != nil {
		return Xattr{}, err
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return Xattr{}, err
	}
	return Xattr{strings.Clone(decoded), string(raw)}, nil
}
