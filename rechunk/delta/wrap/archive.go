package wrap

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// isTar says whether a tar archive starts like this (ustar, pax and GNU).
func isTar(start []byte) bool {
	return len(start) >= 512 && bytes.Equal(start[257:262], []byte("ustar"))
}

// tar finds the members of the archive at off, and where it ends: behind the last member that could be read.
func (p *parser) tar(s source, off int64, depth int) ([]Part, int64, error) {
	section := s.section(off, s.size-off)
	r := tar.NewReader(section)
	var parts []Part
	next := off
	for !p.full() {
		head, err := r.Next()
		if err != nil {
			break
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			break
		}
		if err := p.ended(); err != nil {
			return nil, off, err
		}
		at += off
		if head.Size > s.size-at { // it breaks off here, or is no size that anything has
			next = s.size
			break
		}
		next = at + (head.Size+511)&^511
		if head.Size == 0 || head.Typeflag != tar.TypeReg || Sparse(head) || len(head.Name) > p.lim.Name {
			continue
		}
		part, err := p.member(s, at, head.Size, head.Name, depth)
		if err != nil {
			return nil, off, err
		}
		parts = append(parts, part)
	}
	return parts, min(next, s.size), nil
}

// Sparse says whether a member's bytes do not lie in the archive as they are.
func Sparse(head *tar.Header) bool {
	for name := range head.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return head.Typeflag == tar.TypeGNUSparse
}

// isZip says whether a zip archive starts like this.
func isZip(start []byte) bool { return bytes.HasPrefix(start, []byte("PK\x03\x04")) }

// zipEnd is the length of the record that ends a zip archive, zipDirectory the most that its directory may take: it is read
// into memory.
const (
	zipEnd       = 22
	zipDirectory = 16 << 20
)

// zip finds the members of an archive that are deflated, or stored and hold parts. Archives with a comment or in the 64-bit
// form are left as they are, and those with something between the directory and the end.
func (p *parser) zip(s source, depth int) ([]Part, error) {
	end := s.bytes(s.size-zipEnd, zipEnd)
	if !bytes.HasPrefix(end, []byte("PK\x05\x06")) ||
		int(binary.LittleEndian.Uint16(end[10:])) > p.lim.Parts-p.parts {
		return nil, s.err
	}
	size, off := int64(binary.LittleEndian.Uint32(end[12:])), int64(binary.LittleEndian.Uint32(end[16:]))
	if size > zipDirectory || off+size+zipEnd != s.size {
		return nil, nil
	}
	r, err := zip.NewReader(s.section(0, s.size), s.size)
	if err != nil {
		return nil, s.err
	}
	var parts []Part
	for _, f := range r.File {
		if err := p.ended(); err != nil {
			return nil, err
		}
		if part, ok := p.zipped(s, f); ok {
			parts = append(parts, part)
		}
	}
	parts = ascending(parts)
	for i, part := range parts {
		if p.full() {
			return parts[:i], nil
		}
		if part.Decoder != "" {
			p.parts++
			continue
		}
		if parts[i], err = p.member(s, part.Offset, part.Length, part.Name, depth); err != nil {
			return nil, err
		}
		if err := p.ended(); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// zipped makes a part of a member, if it is one to look at. What is in it is not looked at yet: members may overlap.
func (p *parser) zipped(s source, f *zip.File) (Part, bool) {
	off, err := f.DataOffset()
	if err != nil || f.CompressedSize64 > uint64(s.size) || off > s.size-int64(f.CompressedSize64) ||
		f.CompressedSize64 == 0 || f.Flags&1 != 0 || len(f.Name) > p.lim.Name {
		return Part{}, false
	}
	part := Part{Offset: off, Length: int64(f.CompressedSize64), Name: f.Name}
	switch {
	case f.Method == zip.Store:
		part.Size = part.Length
	case f.Method == zip.Deflate && f.UncompressedSize64 <= uint64(p.lim.most(part.Length)):
		part.Decoder, part.Size = Deflate, int64(f.UncompressedSize64)
	default:
		return Part{}, false
	}
	return part, true
}

// ascending sorts parts by offset, and drops those that overlap the one before.
func ascending(parts []Part) []Part {
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(a.Offset, b.Offset) })
	var out []Part
	end := int64(0)
	for _, part := range parts {
		if part.Offset >= end {
			out = append(out, part)
			end = part.Offset + part.Length
		}
	}
	return out
}
