package rpmdb

import (
	"context"
	"encoding/binary"
	"regexp"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// sqliteName is the name of rpm's database in sqlite's format.
const sqliteName = "rpmdb.sqlite"

// What is read of sqlite's format: the header, and tables' B-trees of records. Numbers are big-endian.
const (
	sqliteMagic   = "SQLite format 3\x00"
	sqliteHeader  = 100
	sqliteWithLog = 2 // the file format version of databases that may have a write-ahead log
	sqliteUTF8    = 1

	treeInterior = 0x05 // types of a table's pages
	treeLeaf     = 0x0d //
	// maxDepth is how deep a tree can be, as in sqlite.
	maxDepth = 20
	// maxSchemaRow is the longest row of the schema that is read, in bytes. The longest that rpm makes has 100.
	maxSchemaRow = 4 << 10
)

// sqlite reads tables of one database.
type sqlite struct {
	ended  func() error // the error of the context that it is read under
	db     *database
	log    *sqliteLog // nil without one
	page   int64      // bytes of a page
	usable int64      // bytes of a page that hold something
	last   uint32     // number of the last page; the first is 1
	left   pages
	levels [maxDepth][]byte // a page of each level on the way down
	chain  []byte           // an overflow page
	row    []byte
	rowid  int64 // the number of the row that was taken last
}

// readSQLite reads rpm's sqlite format: a table Packages(hnum INTEGER PRIMARY KEY, blob BLOB), in the order of hnum.
func readSQLite(ctx context.Context, db *database, take func([]byte) error) error {
	s, err := openSQLite(ctx, db)
	if err != nil {
		return err
	}
	root, err := s.findPackages()
	if err != nil {
		return err
	}
	return s.walk(root, maxHeader+maxSchemaRow, func(row []byte) error {
		if row == nil {
			return take(nil)
		}
		blob, err := recordColumn(row, 1)
		if err != nil {
			return err
		}
		switch {
		case blob.kind < serialBlob:
			return take([]byte{})
		case len(blob.bytes) > maxHeader:
			return take(nil)
		}
		return take(blob.bytes)
	})
}

// openSQLite checks the header.
func openSQLite(ctx context.Context, db *database) (*sqlite, error) {
	head := make([]byte, sqliteHeader)
	if err := readFull(db.main, head, 0); err != nil {
		return nil, err
	}
	if string(head[:len(sqliteMagic)]) != sqliteMagic {
		return nil, installed.Damaged("not an sqlite database")
	}
	s := &sqlite{ended: ctx.Err, db: db, page: int64(binary.BigEndian.Uint16(head[16:]))}
	if s.page == 1 {
		s.page = 65536 // which 16 bits cannot hold
	}
	s.usable = s.page - int64(head[20])
	if s.page < 512 || s.page&(s.page-1) != 0 || s.usable < 480 {
		return nil, installed.Damaged("sqlite pages of %d bytes, %d of them usable", s.page, s.usable)
	}
	if db.size%s.page != 0 {
		return nil, installed.Damaged("%d bytes are no whole number of pages of %d", db.size, s.page)
	}
	s.last = uint32(db.size / s.page)
	if head[19] == sqliteWithLog && db.logSize > 0 {
		var err error
		if s.log, err = openSQLiteLog(ctx, db, s.page); err != nil {
			return nil, err
		}
	}
	return s, s.checkFirst()
}

// checkFirst checks what the header says of the content, which a log may have replaced.
func (s *sqlite) checkFirst() error {
	s.chain = make([]byte, s.page)
	if s.log != nil {
		s.last = s.log.pages
	}
	s.left = 1
	if err := s.read(1, s.chain); err != nil {
		return err
	}
	head := s.chain
	if v := head[19]; v > sqliteWithLog {
		return installed.Damaged("sqlite file format version %d, 1 and 2 are known", v)
	}
	if enc := binary.BigEndian.Uint32(head[56:]); enc > sqliteUTF8 {
		return installed.Damaged("sqlite database in text encoding %d, only UTF-8 is read", enc)
	}
	// The count of pages is right if what wrote it also wrote the last change.
	counted := binary.BigEndian.Uint32(head[24:]) == binary.BigEndian.Uint32(head[92:])
	if n := binary.BigEndian.Uint32(head[28:]); counted && n > s.last {
		return installed.Damaged("sqlite database ends before its last page, %d", n)
	}
	s.left = pages((s.db.size + s.db.logSize) / s.page) // whatever is claimed
	return nil
}

// read reads a page.
func (s *sqlite) read(n uint32, page []byte) error {
	if err := s.ended(); err != nil {
		return err
	}
	if n == 0 || n > s.last {
		return installed.Damaged("sqlite page %d of %d", n, s.last)
	}
	if err := s.left.spend(); err != nil {
		return err
	}
	if s.log != nil {
		if ok, err := s.log.read(n, page); ok || err != nil {
			return err
		}
	}
	return readFull(s.db.main, page, int64(n-1)*s.page)
}

// findPackages returns the first page of the table of packages.
func (s *sqlite) findPackages() (uint32, error) {
	root := uint32(0)
	err := s.walk(1, maxSchemaRow, func(row []byte) error {
		if row == nil {
			return nil // nothing of rpm's
		}
		var c [5]column // type, name, table, first page, statement
		for i := range c {
			var err error
			if c[i], err = recordColumn(row, i); err != nil {
				return err
			}
		}
		if string(c[0].bytes) != "table" || !strings.EqualFold(string(c[1].bytes), "Packages") {
			return nil
		}
		if !isPackages(string(c[4].bytes)) {
			return installed.Damaged("the table of packages is another than rpm's: %.100q", c[4].bytes)
		}
		root = uint32(c[3].number())
		return nil
	})
	if err == nil && root == 0 {
		err = installed.Damaged("no table of packages")
	}
	return root, err
}

// isPackages reports whether a statement makes the table that rpm makes, or one that is read the same way.
func isPackages(statement string) bool {
	is, err := regexp.MatchString(`(?i)^CREATE TABLE ["'`+"`"+`\[]?Packages["'`+"`"+`\]]?\s*\(\s*`+
		`hnum\s+INTEGER\s+PRIMARY\s+KEY(\s+AUTOINCREMENT)?\s*,\s*blob\s+BLOB(\s+NOT\s+NULL)?\s*\)$`, statement)
	return is && err == nil
}

// walk hands the rows of a table to take, in the order of their numbers; nil for one of more than limit bytes. A row is
// valid until the next.
func (s *sqlite) walk(root uint32, limit int64, take func(row []byte) error) error {
	return s.walkPage(root, 0, limit, take)
}

func (s *sqlite) walkPage(n uint32, depth int, limit int64, take func(row []byte) error) error {
	if depth == maxDepth {
		return installed.Damaged("sqlite table of more than %d levels", maxDepth)
	}
	if s.levels[depth] == nil {
		s.levels[depth] = make([]byte, s.page)
	}
	page := s.levels[depth]
	if err := s.read(n, page); err != nil {
		return err
	}
	at := 0 // where the tree's header begins
	if n == 1 {
		at = sqliteHeader
	}
	kind, count := page[at], int(binary.BigEndian.Uint16(page[at+3:]))
	pointers := at + 8
	if kind == treeInterior {
		pointers += 4
	}
	if kind != treeInterior && kind != treeLeaf || int64(pointers+2*count) > s.usable {
		return installed.Damaged("sqlite page %d of type %d with %d cells", n, kind, count)
	}
	for i := range count {
		cell := int64(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if cell < int64(pointers+2*count) || cell > s.usable-4 {
			return installed.Damaged("sqlite cell at byte %d of page %d", cell, n)
		}
		var err error
		if kind == treeLeaf {
			err = s.takeCell(page[cell:s.usable], limit, take)
		} else {
			err = s.walkPage(binary.BigEndian.Uint32(page[cell:]), depth+1, limit, take)
		}
		if err != nil {
			return err
		}
	}
	if kind == treeInterior {
		return s.walkPage(binary.BigEndian.Uint32(page[at+8:]), depth+1, limit, take)
	}
	return nil
}

// takeCell puts the row of a leaf's cell together and hands it to take.
func (s *sqlite) takeCell(cell []byte, limit int64, take func(row []byte) error) error {
	size, n := varint(cell)
	id, m := varint(cell[n:])
	cell, s.rowid = cell[n+m:], id
	if n == 0 || m == 0 || size < 0 {
		return installed.Damaged("sqlite cell without a size")
	}
	if size > limit {
		return take(nil)
	}
	local := s.local(size)
	if int64(len(cell)) < local {
		return installed.Damaged("sqlite cell reaches beyond its page")
	}
	s.row = append(s.row[:0], cell[:local]...)
	if local == size {
		return take(s.row)
	}
	if int64(len(cell)) < local+4 {
		return installed.Damaged("sqlite cell reaches beyond its page")
	}
	next := binary.BigEndian.Uint32(cell[local:])
	for int64(len(s.row)) < size {
		if err := s.read(next, s.chain); err != nil {
			return err
		}
		next = binary.BigEndian.Uint32(s.chain)
		s.row = append(s.row, s.chain[4:4+min(s.usable-4, size-int64(len(s.row)))]...)
	}
	return take(s.row)
}

// local returns how many bytes of a row of that size lie in its cell.
func (s *sqlite) local(size int64) int64 {
	most := s.usable - 35
	if size <= most {
		return size
	}
	least := (s.usable-12)*32/255 - 23
	if n := least + (size-least)%(s.usable-4); n <= most {
		return n
	}
	return least
}
