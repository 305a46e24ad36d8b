package rpmtest

import (
	"encoding/binary"
	"hash/adler32"
)

// The marks of an ndb database, little-endian.
const (
	fileMagic = 0x506d7052 // RpmP
	slotMagic = 0x746f6c53 // Slot
	headMagic = 0x53626c42 // BlbS
	tailMagic = 0x45626c42 // BlbE
)

// NDB encodes an ndb database.
func NDB(blobs ...[]byte) []byte {
	le := binary.LittleEndian
	pages := (2 + len(blobs) + 255) / 256 // of slots
	slots := make([]byte, pages*4096)
	for i := 0; i < len(slots); i += 16 {
		le.PutUint32(slots[i:], slotMagic)
	}
	clear(slots[:2*16])
	le.PutUint32(slots, fileMagic)
	le.PutUint32(slots[12:], uint32(pages))
	out := slots
	for i, b := range blobs {
		slot := out[(2+i)*16:]
		le.PutUint32(slot[4:], uint32(i+1))
		le.PutUint32(slot[8:], uint32(len(out)/16))
		frame := le.AppendUint32(nil, headMagic)
		for _, n := range []uint32{uint32(i + 1), 1, uint32(len(b))} {
			frame = le.AppendUint32(frame, n)
		}
		frame = append(frame, b...)
		for (len(frame)+12)%16 != 0 {
			frame = append(frame, 0)
		}
		frame = le.AppendUint32(frame, adler32.Checksum(frame))
		frame = le.AppendUint32(frame, uint32(len(b)))
		out = append(out, le.AppendUint32(frame, tailMagic)...)
	}
	return out
}
