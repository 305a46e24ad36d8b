package rpmdb

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// Berkeley DB's hash format (src/dbinc/db_page.h, hash access method versions 8 to 10), as far as rpm's Packages uses it: a
// metadata page, hash pages with key and data items, and chains of overflow pages for what does not fit. Numbers are in the
// byte order of the machine that wrote the file.
const (
	bdbMagic = 0x061561

	bdbMeta     = 8  // page types
	bdbOverflow = 7  //
	bdbHash     = 13 //
	bdbHashOld  = 2  // unsorted, before 4.6

	bdbInline  = 1 // item types
	bdbOffPage = 3 //

	bdbPageHeader = 26
	bdbMetaSize   = 72
)

// bdb reads one database.
type bdb struct {
	r     io.ReaderAt
	order binary.ByteOrder
	page  int64 // bytes of a page
	last  uint32
	left  pages
	buf   []byte // an overflow page
	blob  []byte
}

// readBDB hands every package's blob to take, in the order of the pages.
func readBDB(ctx context.Context, in *database, take func([]byte) error) error {
	db, err := openBDB(in.main, in.size)
	if err != nil {
		return err
	}
	page := make([]byte, db.page)
	for n := uint32(1); n <= db.last; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readFull(db.r, page, int64(n)*db.page); err != nil {
			return err
		}
		if t := page[25]; t != bdbHash && t != bdbHashOld {
			continue
		}
		if err := db.items(page, take); err != nil {
			return err
		}
	}
	return nil
}

// openBDB checks the metadata page.
func openBDB(r io.ReaderAt, size int64) (*bdb, error) {
	meta := make([]byte, bdbMetaSize)
	if err := readFull(r, meta, 0); err != nil {
		return nil, err
	}
	db := &bdb{r: r, order: binary.LittleEndian}
	if db.order.Uint32(meta[12:]) != bdbMagic {
		db.order = binary.BigEndian
	}
	if db.order.Uint32(meta[12:]) != bdbMagic || meta[25] != bdbMeta {
		return nil, installed.Damaged("not a Berkeley DB hash database")
	}
	if meta[24] != 0 {
		return nil, installed.Damaged("encrypted Berkeley DB database")
	}
	page := db.order.Uint32(meta[20:])
	if page < 512 || page > 65536 || page&(page-1) != 0 {
		return nil, installed.Damaged("Berkeley DB pages of %d bytes, powers of two from 512 to 65536 are allowed", page)
	}
	db.page, db.last = int64(page), db.order.Uint32(meta[32:])
	db.left = pages(db.last)
	if (int64(db.last)+1)*db.page > size {
		return nil, installed.Damaged("Berkeley DB database ends before its last page, %d", db.last)
	}
	db.buf = make([]byte, page)
	return db, nil
}

// items takes the data items of a hash page. Keys and data alternate; items fill the page from its end.
func (db *bdb) items(page []byte, take func([]byte) error) error {
	count := int(db.order.Uint16(page[20:]))
	if count%2 != 0 || bdbPageHeader+2*count > len(page) {
		return installed.Damaged("Berkeley DB page of %d items", count)
	}
	end := len(page)
	for i := range count {
		at := int(db.order.Uint16(page[bdbPageHeader+2*i:]))
		if at < bdbPageHeader+2*count || at >= end {
			return installed.Damaged("Berkeley DB item at byte %d of its page", at)
		}
		item := page[at:end]
		end = at
		if i%2 == 0 {
			continue
		}
		blob, long, err := db.value(item)
		if err != nil {
			return err
		}
		if !long && len(blob) < preamble {
			continue // the record of the next free number
		}
		if err := take(blob); err != nil {
			return err
		}
	}
	return nil
}

// value returns the bytes of a data item, valid until the next call; none for item types that hold no package, and none for
// one that is too long.
func (db *bdb) value(item []byte) (blob []byte, long bool, err error) {
	switch item[0] {
	case bdbInline:
		return item[1:], false, nil
	case bdbOffPage:
		if len(item) < 12 {
			return nil, false, installed.Damaged("Berkeley DB item of %d bytes", len(item))
		}
		size := int64(db.order.Uint32(item[8:]))
		if size > maxHeader {
			return nil, true, nil
		}
		blob, err = db.chain(db.order.Uint32(item[4:]), size)
	}
	return blob, false, err
}

// chain joins overflow pages until it has size bytes.
func (db *bdb) chain(page uint32, size int64) ([]byte, error) {
	db.blob = db.blob[:0]
	for int64(len(db.blob)) < size {
		if page == 0 || page > db.last {
			return nil, installed.Damaged("Berkeley DB overflow page %d of %d", page, db.last)
		}
		if err := db.left.spend(); err != nil {
			return nil, err
		}
		if err := readFull(db.r, db.buf, int64(page)*db.page); err != nil {
			return nil, err
		}
		used := int64(db.order.Uint16(db.buf[22:]))
		if db.buf[25] != bdbOverflow || used == 0 || used > db.page-bdbPageHeader || int64(len(db.blob))+used > size {
			return nil, installed.Damaged("Berkeley DB page %d is no overflow page of this item", page)
		}
		db.blob = append(db.blob, db.buf[bdbPageHeader:bdbPageHeader+used]...)
		page = db.order.Uint32(db.buf[16:])
	}
	return db.blob, nil
}
