package wrap

import (
	"bytes"
	"encoding/binary"
)

// isKernel says whether a kernel image starts like this: x86's bzImage (Documentation/arch/x86/boot.rst), or an EFI zboot
// image (drivers/firmware/efi/libstub/zboot-header.S).
func isKernel(start []byte) bool { return isBzImage(start) || isZboot(start) }

func isBzImage(start []byte) bool {
	return len(start) >= 0x250 && bytes.Equal(start[0x202:0x206], []byte("HdrS")) &&
		binary.LittleEndian.Uint16(start[0x206:]) >= 0x208
}

func isZboot(start []byte) bool {
	return len(start) >= 0x40 && bytes.HasPrefix(start, []byte("MZ")) && bytes.Equal(start[4:8], []byte("zimg"))
}

// bootHeader is how much of a kernel for x86 is read: up to the fields of its payload (Linux x86 boot protocol, 1.1).
const bootHeader = 0x250

// kernel finds the compressed payload of a kernel image. Its place is told by the header, in bytes; behind the stream may
// lie the size of what is in it.
func (p *parser) kernel(s source, depth int) ([]Part, error) {
	start := s.most(0, peek)
	var off, length int64
	if isZboot(start) {
		off, length = int64(binary.LittleEndian.Uint32(start[8:])), int64(binary.LittleEndian.Uint32(start[12:]))
	} else if len(start) < bootHeader {
		return nil, nil
	} else {
		sectors := int64(start[0x1f1])
		if sectors == 0 {
			sectors = 4
		}
		off = (sectors+1)*512 + int64(binary.LittleEndian.Uint32(start[0x248:]))
		length = int64(binary.LittleEndian.Uint32(start[0x24c:]))
	}
	if off+length > s.size {
		return nil, nil
	}
	payload := s.sub(off, length)
	decoder := streamOf(payload.most(0, peek))
	if decoder == "" {
		return nil, s.err
	}
	part, err := p.stream(payload, 0, decoder, depth)
	if err != nil || part.Length == 0 {
		return nil, err
	}
	p.parts++
	part.Offset += off
	return []Part{part}, nil
}
