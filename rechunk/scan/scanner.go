package scan

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// scanner reads one layer's headers and contents.
type scanner struct {
	layer   *tree.Builder
	lim     tree.Limits
	budget  *tree.Budget
	spool   *spoolWriter // nil without a spool
	sum     hash.Hash
	buf     []byte
	src     *meter
	content int64 // bytes of files so far
	charged int64 // bytes that the budget knows of
	inline  inliner
	want    func(path string, size int64) bool // nil: the spool takes all
	kept    func(tree.Digest)
}

func newScanner(b *tree.Budget, spool *Spool) *scanner {
	s := &scanner{
		layer: tree.NewBuilder(b), budget: b, lim: b.Limits(), sum: sha256.New(), buf: make([]byte, 128<<10),
		inline: inliner{budget: b},
	}
	if spool != nil {
		s.spool = newSpoolWriter(spool)
	}
	return s
}

func (s *scanner) run(src *meter) error {
	s.src = src
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
	case errors.Is(err, tree.ErrInvalid), errors.Is(err, tree.ErrLimit):
		return err
	}
	return tree.Invalidf("tar: %w", err)
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
	p, err := tree.CleanPath(h.Name, s.lim)
	if err != nil {
		return err
	}
	if hidden, err := s.layer.Hide(p); hidden || err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		// Targets are relative to the root, with or without a leading slash.
		target, err := tree.CleanPath(h.Linkname, s.lim)
		if err != nil {
			return err
		}
		return s.layer.Link(p, target)
	}
	e, err := entry(h, p, s.budget)
	if err != nil {
		return err
	}
	if err := s.layer.Add(e); err != nil || e.Kind != tree.Regular {
		return err
	}
	return s.readContent(e, h.Size, body)
}

// account bounds the number of headers and the memory that they take. The strings of a pax header are parts of one big
// string, so what is kept of it is copied: records that are not counted here would be kept alive otherwise.
func (s *scanner) account(h *tar.Header) error {
	meta := len(h.Name) + len(h.Linkname)
	for k, v := range h.PAXRecords {
		meta += len(k) + len(v)
	}
	if len(h.PAXRecords) > 0 {
		h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
	}
	if err := s.charge(); err != nil {
		return err
	}
	return s.budget.TakeHeader(meta)
}

// charge tells the budget of the bytes that came so far, or that sparse files stand for.
func (s *scanner) charge() error {
	n := max(s.src.n, s.content) - s.charged
	s.charged += n
	return s.budget.TakeBytes(n)
}

// readContent hashes a file and spools it.
func (s *scanner) readContent(e *tree.Entry, size int64, body io.Reader) error {
	// Sparse files may be larger than the layer, which is why the sum has a limit.
	if size > s.lim.LayerBytes-s.content {
		return tree.OverLimit("bytes in a layer's files", s.lim.LayerBytes)
	}
	s.content += size
	if err := s.charge(); err != nil {
		return err
	}
	s.sum.Reset()
	spool := s.spool
	if s.want != nil && !s.want(e.Path, size) {
		spool = nil
	}
	if spool != nil {
		if err := spool.start(size); err != nil {
			return &localError{err}
		}
	}
	inline := s.inline.open(e.Path, size)
	for {
		n, err := body.Read(s.buf)
		s.sum.Write(s.buf[:n])
		if inline != nil {
			inline.Write(s.buf[:n])
		}
		if spool != nil {
			if _, err := spool.Write(s.buf[:n]); err != nil {
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
	if spool == nil {
		return nil
	}
	spool.finish(e.Digest)
	if s.want == nil {
		return nil
	}
	if err := spool.flush(); err != nil {
		return &localError{err}
	}
	if s.kept != nil {
		s.kept(e.Digest)
	}
	return nil
}
