package tree

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
)

// scanner replays one layer's headers.
type scanner struct {
	fs        *memfs
	lim       Limits
	spool     *spoolWriter // nil without a spool
	sum       hash.Hash
	buf       []byte
	headers   int
	meta      int64 // bytes of names and attributes so far
	content   int64 // bytes of files so far
	whiteouts map[string]bool
	opaque    map[string]bool
	inline    inliner
}

func newScanner(lim Limits, spool *Spool) *scanner {
	s := &scanner{
		fs: newMemfs(lim), lim: lim, sum: sha256.New(), buf: make([]byte, 128<<10),
		whiteouts: map[string]bool{}, opaque: map[string]bool{}, inline: inliner{left: lim.InlineBytes},
	}
	if spool != nil {
		s.spool = newSpoolWriter(spool)
	}
	return s
}

func (s *scanner) run(src *meter) error {
	tr := tar.NewReader(src)
	for {
		h, err := tr.Next()
		if err == io.EOF && src.err == nil {
			return nil
		}
		if err == nil {
			err = s.header(h, tr)
		}
		if err != nil {
			return s.blame(src, err)
		}
	}
}

// blame says whose fault an error is: the stream's, this machine's (a full disk), or else the layer's.
func (s *scanner) blame(src *meter, err error) error {
	var local *localError
	switch {
	case src.err != nil:
		return src.err
	case errors.As(err, &local):
		return local.err
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrLimit):
		return err
	}
	return invalid("tar: %w", err)
}

// localError marks an error that is neither the stream's nor the layer's fault.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

func (s *scanner) header(h *tar.Header, body io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if err := s.account(h); err != nil {
		return err
	}
	p, err := cleanName(h.Name, s.lim)
	if err != nil {
		return err
	}
	dir, base := split(p)
	// Files of aufs' bookkeeping at the root may be the targets of hardlinks; index drops them in the end.
	if reservedName(base) && !(dir == "." && base != opaqueMarker && strings.HasPrefix(base, aufsPrefix)) {
		return s.whiteout(dir, base)
	}
	n, err := s.object(h, p, body)
	if err != nil {
		return err
	}
	at, err := s.fs.locate(p, makeDirs)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return s.link(h, at)
	}
	return s.fs.put(at, n)
}

// account bounds the number of headers and the memory that they take. The strings of a pax header are parts of one big string,
// so what is kept of it is copied: records that are not counted here would be kept alive otherwise.
func (s *scanner) account(h *tar.Header) error {
	if s.headers++; s.headers > s.lim.Entries {
		return limitError("number of headers in a layer", s.lim.Entries)
	}
	s.meta += int64(len(h.Name) + len(h.Linkname))
	for k, v := range h.PAXRecords {
		s.meta += int64(len(k) + len(v))
	}
	if s.meta > s.lim.MetaBytes {
		return limitError("bytes of names and attributes in a layer", s.lim.MetaBytes)
	}
	if len(h.PAXRecords) > 0 {
		h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
	}
	return nil
}

func (s *scanner) whiteout(dir, base string) error {
	name := base[len(whiteoutPrefix):]
	switch {
	case base == opaqueMarker:
		name = ""
	case strings.HasPrefix(base, aufsPrefix):
		return nil
	case name == "" || name == "." || name == "..":
		return invalid("whiteout of %q in %q", name, clip(dir))
	}
	// The directory may lie behind a symlink of this layer; what lower layers have is followed when layers are flattened.
	at, err := s.fs.locate(join(dir, base), probe)
	if err != nil {
		return err
	}
	if base == opaqueMarker {
		s.opaque[at.real] = true
	} else {
		s.whiteouts[join(at.real, name)] = true
	}
	return nil
}

// link makes a hardlink: to an object of this layer when there is one, else to one of a lower layer. Targets are relative to
// the root, with or without a leading slash.
func (s *scanner) link(h *tar.Header, at spot) error {
	target, err := cleanName(h.Linkname, s.lim)
	if err != nil {
		return err
	}
	from, err := s.fs.locate(target, probe)
	if err != nil {
		return err
	}
	n, itself := s.fs.get(from), from.path() == at.path()
	if n != nil && n.implied {
		n = nil // the directory may be a symlink in a lower layer
	}
	switch {
	case n.isDir(), !itself && Within(from.path(), at.path()):
		return invalid("hardlink %q to %q, which is no file", clip(h.Name), clip(target))
	case n == nil:
		n = elsewhere(from.path())
	case itself:
		return nil // some archivers write a link to itself for a name they saw twice
	}
	n.shared = true
	return s.fs.put(at, n)
}

func (s *scanner) index() (*Index, error) {
	for name := range s.fs.root.children {
		if strings.HasPrefix(name, aufsPrefix) {
			s.fs.remove(spot{s.fs.root, ".", name})
		}
	}
	x := &Index{}
	var err error
	if x.Entries, x.Links, err = s.fs.list(true); err != nil {
		return nil, err
	}
	x.Whiteouts, x.Opaque = sortedPaths(s.whiteouts), sortedPaths(s.opaque)
	if x.metaBytes() > s.lim.MetaBytes {
		return nil, limitError("bytes of names and attributes in a layer", s.lim.MetaBytes)
	}
	return x, nil
}

func sortedPaths(set map[string]bool) []string {
	var out []string
	for p := range set {
		out = append(out, p)
	}
	slices.SortFunc(out, ComparePaths)
	return out
}
