package wrap

import (
	"bytes"
	"math/bits"
	"strconv"
)

// cpioHeader is the length of a header in newc and crc archives: a magic and 13 fields of eight hexadecimal digits.
const cpioHeader = 110

// isCpio says whether a cpio archive starts like this (newc or crc, as the kernel takes them for an initramfs).
func isCpio(start []byte) bool {
	return bytes.HasPrefix(start, []byte("070701")) || bytes.HasPrefix(start, []byte("070702"))
}

// cpio finds the members of the archive at off, and where it ends: behind its trailer, or before the first header that is
// none.
func (p *parser) cpio(s source, off int64, depth int) ([]Part, int64, error) {
	var parts []Part
	for !p.full() {
		m, ok := cpioMember(s, off, p.lim)
		if !ok {
			break
		}
		if m.name == "TRAILER!!!" {
			return parts, m.next, nil
		}
		if m.regular && m.size > 0 {
			part, err := p.member(s, m.data, m.size, m.name, depth)
			if err != nil {
				return nil, off, err
			}
			parts = append(parts, part)
		}
		off = m.next
		if err := p.ended(); err != nil {
			return nil, off, err
		}
	}
	return parts, off, nil
}

// cpioEntry is a member: where its bytes are, and where the next header is.
type cpioEntry struct {
	name             string
	regular          bool
	data, size, next int64
}

// cpioMember reads the header at off. Headers and contents are padded to four bytes, from the archive's start; archives
// start at multiples of four.
func cpioMember(s source, off int64, lim Limits) (cpioEntry, bool) {
	head := s.bytes(off, cpioHeader)
	if head == nil || !isCpio(head) {
		return cpioEntry{}, false
	}
	mode, ok1 := hex(head, 1)
	size, ok2 := hex(head, 6)
	length, ok3 := hex(head, 11)
	if !ok1 || !ok2 || !ok3 || length < 2 || length > int64(lim.Name) || length > block {
		return cpioEntry{}, false
	}
	name := s.bytes(off+cpioHeader, length)
	if name == nil || name[length-1] != 0 {
		return cpioEntry{}, false
	}
	m := cpioEntry{name: string(name[:length-1]), regular: mode&0o170000 == 0o100000, size: size}
	m.data = off + (cpioHeader+length+3)&^3
	m.next = m.data + (size+3)&^3
	// The last member's padding may be missing.
	if m.data+m.size > s.size {
		return cpioEntry{}, false
	}
	m.next = min(m.next, s.size)
	return m, true
}

// hex reads the n-th field of a header.
func hex(head []byte, n int) (int64, bool) {
	v, err := strconv.ParseUint(string(head[6+8*n:14+8*n]), 16, bits.UintSize)
	return int64(v), err == nil
}
