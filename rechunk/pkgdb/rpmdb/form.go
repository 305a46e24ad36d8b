package rpmdb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// Form is what a database says apart from when its packages were installed: two databases whose forms have equal sums hold
// the same tables of the same rows, but for install times and what is derived from them.
type Form struct {
	Sum [sha256.Size]byte
	// Installed holds, for each package in the order of their numbers, its install time (the upper half) and the number of
	// the transaction that installed it.
	Installed []uint64
}

// ErrNoForm says that a database is in a format whose form is not known: only sqlite's is. In ndb and Berkeley DB the
// packages' file is tied to others beside it, which are indexes of the same packages by the same times.
var ErrNoForm = errors.New("no form of this kind of database is known")

// maxTables bounds the tables and indexes of a database of which a form is made. Rpm makes 50.
const maxTables = 1000

// InDatabaseDir reports whether a path is that of an rpm database in one of its places, ostree's copy for layered packages
// included.
func InDatabaseDir(p string) bool {
	dir, base := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	return base == sqliteName && (slices.Contains(Dirs(), dir) || dir == "usr/lib/sysimage/rpm-ostree-base-db")
}

// Companions are the paths of the files that may hold a part of the database at a path: transactions that sqlite has not
// moved into it yet, or would undo.
func Companions(p string) []string { return []string{p + logSuffix, p + "-journal"} }

// FormOf reads a database in sqlite's format that has no log and no journal beside it. Equal bytes have equal forms. Of what
// sqlite stores it leaves out where it lies: the pages' order, free pages, and the indexes, which repeat what the tables
// say. Errors that wrap installed.ErrDamaged, installed.ErrBudget or ErrNoForm are about the database, others about reading
// it.
func FormOf(ctx context.Context, r io.ReaderAt, size int64) (*Form, error) {
	s, err := openSQLite(ctx, &database{main: r, size: size})
	if err != nil {
		return nil, err
	}
	f := &former{sqlite: s, sum: sha256.New(), tids: map[int64]uint32{}}
	tables, err := f.schema()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if err := f.table(t); err != nil {
			return nil, err
		}
	}
	out := &Form{Installed: f.installed}
	f.sum.Sum(out.Sum[:0])
	return out, nil
}

// former makes a form.
type former struct {
	*sqlite
	sum       hash.Hash
	tids      map[int64]uint32 // of each package: the number of the transaction that installed it
	installed []uint64
}

// formTable is a table of a database.
type formTable struct {
	name string
	root uint32
}

// Tables of rpm's that hold install times: the packages' headers, and the index of transactions.
const (
	packagesTable   = "Packages"
	installtidTable = "Installtid"
)

// schema takes the parts of the header that say how the database is to be read, and the schema; it returns the tables, that
// of the packages first.
func (f *former) schema() ([]formTable, error) {
	head := make([]byte, sqliteHeader)
	if err := readFull(f.db.main, head, 0); err != nil {
		return nil, err
	}
	if head[18] > sqliteWithLog || head[19] > sqliteWithLog {
		return nil, ErrNoForm
	}
	for _, part := range [][]byte{head[16:24], head[44:48], head[56:72]} {
		f.sum.Write(part)
	}
	var tables []formTable
	seen := 0
	err := f.walk(1, maxSchemaRow, func(row []byte) error {
		if seen++; row == nil || seen > maxTables {
			return installed.Damaged("a schema of more than %d tables, or of %d bytes for one", maxTables, maxSchemaRow)
		}
		var c [5]column // type, name, table, first page, statement
		for i := range c {
			var err error
			if c[i], err = recordColumn(row, i); err != nil {
				return err
			}
			if i != 3 {
				f.put(uint64(c[i].kind))
				f.putBytes(c[i].bytes)
			}
		}
		if string(c[0].bytes) == "table" {
			tables = append(tables, formTable{string(c[1].bytes), uint32(c[3].number())})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(tables, func(t formTable) bool { return t.name == packagesTable })
	if first < 0 {
		return nil, installed.Damaged("no table of packages")
	}
	packages := tables[first]
	return slices.Insert(slices.Delete(tables, first, first+1), 0, packages), nil
}

// table takes the rows of a table.
func (f *former) table(t formTable) error {
	f.putBytes([]byte(t.name))
	take := f.row
	switch t.name {
	case packagesTable:
		take = f.packageRow
	case installtidTable:
		take = f.tidRow
	}
	return f.walk(t.root, maxHeader+maxSchemaRow, func(row []byte) error {
		if row == nil {
			return installed.Damaged("a row of more than %d bytes", maxHeader)
		}
		f.put(uint64(f.rowid))
		return take(row)
	})
}

// row takes a row as it is.
func (f *former) row(row []byte) error {
	f.putBytes(row)
	return nil
}

// packageRow takes a package's header without its install times.
func (f *former) packageRow(row []byte) error {
	if len(f.installed) == maxPackages {
		return installed.Damaged("more than %d packages", maxPackages)
	}
	blob, err := recordColumn(row, 1)
	if err != nil {
		return err
	}
	at, tid := maskInstalled(blob.bytes)
	f.tids[f.rowid] = tid
	f.installed = append(f.installed, uint64(at)<<32|uint64(tid))
	return f.row(row)
}

// tidRow takes a row of the index of transactions. Its key is the transaction of the package that it leads to, in the byte
// order of the machine, or the index says something of its own.
func (f *former) tidRow(row []byte) error {
	key, err := recordColumn(row, 0)
	if err != nil {
		return err
	}
	number, err := recordColumn(row, 1)
	if err != nil {
		return err
	}
	tid := f.tids[number.number()]
	if tid != 0 && len(key.bytes) == 4 &&
		(binary.LittleEndian.Uint32(key.bytes) == tid || binary.BigEndian.Uint32(key.bytes) == tid) {
		clear(key.bytes)
	}
	return f.row(row)
}

func (f *former) put(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	f.sum.Write(b[:])
}

func (f *former) putBytes(b []byte) {
	f.put(uint64(len(b)))
	f.sum.Write(b)
}
