package rpmdb

import (
	"context"
	"encoding/binary"
	"hash/adler32"
	"io"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// rpm's ndb format (lib/backend/ndb/rpmpkg.c): a header, pages of 16-byte slots, and packages in 16-byte blocks, each framed
// by a head and a checksummed tail. All numbers are little-endian.
const (
	ndbMagic     = 'R' | 'p'<<8 | 'm'<<16 | 'P'<<24
	ndbSlotMagic = 'S' | 'l'<<8 | 'o'<<16 | 't'<<24
	ndbHeadMagic = 'B' | 'l'<<8 | 'b'<<16 | 'S'<<24
	ndbTailMagic = 'B' | 'l'<<8 | 'b'<<16 | 'E'<<24

	ndbPage  = 4096
	ndbSlot  = 16
	ndbBlock = 16
	ndbHead  = 16
	ndbTail  = 12
	// ndbMaxSlotPages is room for two million packages.
	ndbMaxSlotPages = 8192
)

// readNDB hands every package's blob to take, in the order of the slots.
func readNDB(ctx context.Context, in *database, take func([]byte) error) error {
	r := in.main
	head := make([]byte, 2*ndbSlot)
	if err := readFull(r, head, 0); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head) != ndbMagic {
		return installed.Damaged("not an ndb database")
	}
	if v := binary.LittleEndian.Uint32(head[4:]); v != 0 {
		return installed.Damaged("ndb version %d, only 0 is known", v)
	}
	slotPages := binary.LittleEndian.Uint32(head[12:])
	if slotPages == 0 || slotPages > ndbMaxSlotPages {
		return installed.Damaged("ndb database of %d slot pages, 1 to %d are allowed", slotPages, ndbMaxSlotPages)
	}
	db := &ndb{r: r, size: in.size, left: in.size}
	page := make([]byte, ndbPage)
	for i := range int64(slotPages) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readFull(r, page, i*ndbPage); err != nil {
			return err
		}
		slots := page
		if i == 0 {
			slots = page[len(head):]
		}
		if err := db.slots(slots, take); err != nil {
			return err
		}
	}
	return nil
}

// ndb reads the packages that slots point at.
type ndb struct {
	r    io.ReaderAt
	size int64
	left int64 // bytes that packages may still have: each has its own
	buf  []byte
}

func (db *ndb) slots(page []byte, take func([]byte) error) error {
	for ; len(page) >= ndbSlot; page = page[ndbSlot:] {
		if binary.LittleEndian.Uint32(page) != ndbSlotMagic {
			return installed.Damaged("slot without its mark")
		}
		id := binary.LittleEndian.Uint32(page[4:])
		if id == 0 {
			continue // free
		}
		blob, err := db.blob(id, int64(binary.LittleEndian.Uint32(page[8:]))*ndbBlock)
		if err != nil {
			return err
		}
		if err := take(blob); err != nil {
			return err
		}
	}
	return nil
}

// blob returns the package at off after checking its frame, valid until the next call; nil for one that is too long.
func (db *ndb) blob(id uint32, off int64) ([]byte, error) {
	head := make([]byte, ndbHead)
	if err := readFull(db.r, head, off); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head) != ndbHeadMagic || binary.LittleEndian.Uint32(head[4:]) != id {
		return nil, installed.Damaged("package %d is not where its slot points", id)
	}
	n := int64(binary.LittleEndian.Uint32(head[12:]))
	padded := (ndbHead+n+ndbTail+ndbBlock-1)/ndbBlock*ndbBlock - ndbHead
	if off+ndbHead+padded > db.size {
		return nil, installed.Damaged("package %d of %d bytes", id, n)
	}
	if n > maxHeader {
		return nil, nil
	}
	if db.left -= n; db.left < 0 {
		return nil, installed.Damaged("packages take more bytes than the database file has")
	}
	if int64(cap(db.buf)) < padded {
		db.buf = make([]byte, padded)
	}
	b := db.buf[:padded]
	if err := readFull(db.r, b, off+ndbHead); err != nil {
		return nil, err
	}
	tail := b[padded-ndbTail:]
	sum := adler32.New()
	sum.Write(head)
	sum.Write(b[:padded-ndbTail])
	if binary.LittleEndian.Uint32(tail) != sum.Sum32() || int64(binary.LittleEndian.Uint32(tail[4:])) != n ||
		binary.LittleEndian.Uint32(tail[8:]) != ndbTailMagic {
		return nil, installed.Damaged("package %d fails its checksum", id)
	}
	return b[:n], nil
}
