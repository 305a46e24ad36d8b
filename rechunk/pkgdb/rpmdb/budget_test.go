package rpmdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

// counting counts the bytes that are read at random.
type counting struct {
	io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

// TestPagesAreReadOnce builds databases whose pages lead to each other again and again. None makes its reader read more than
// the pages that it has, twice: once to look for packages, once as part of one.
func TestPagesAreReadOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		db   []byte
		read func(context.Context, *database, func([]byte) error) error
	}{
		"bdb: a byte of each page":       {bdbOfBytes(), readBDB},
		"sqlite: pages of many parents":  {sqliteTree(func(n int) int { return n + 1 }, 8), readSQLite},
		"sqlite: a tree in itself":       {sqliteTree(func(n int) int { return n%3 + 2 }, 60), readSQLite},
		"sqlite: one chain for all rows": {sqliteRows(), readSQLite},
		"sqlite: a tree too deep":        {sqliteTree(func(n int) int { return n + 1 }, 60), readSQLite},
	} {
		c := &counting{ReaderAt: bytes.NewReader(tc.db)}
		err := tc.read(t.Context(), &database{main: c, size: int64(len(tc.db))}, func([]byte) error { return nil })
		if !errors.Is(err, installed.ErrDamaged) {
			t.Errorf("%s: %v, want damage", name, err)
		}
		if limit := 2 * int64(len(tc.db)); c.n > limit {
			t.Errorf("%s: %d bytes read of a database of %d", name, c.n, len(tc.db))
		}
	}
}

// bdbOfBytes is a Berkeley DB whose overflow pages are a circle, each with one byte of a package of a million.
func bdbOfBytes() []byte {
	db := rpmtest.BDB(binary.LittleEndian, 65536, bytes.Repeat(someHeader("b"), 2000))
	pages := uint32(len(db) / 65536)
	for n := uint32(2); n < pages; n++ {
		page := db[n*65536:]
		binary.LittleEndian.PutUint16(page[22:], 1)
		binary.LittleEndian.PutUint32(page[16:], 2+(n-1)%(pages-2))
	}
	binary.LittleEndian.PutUint32(db[2*65536-5-5-5-12+8:], 1<<20)
	return db
}

const tinyPage = 512

// sqlitePages is a database of empty pages, but for the schema, which says that the table of packages begins at page 2.
func sqlitePages(n int) []byte {
	be := binary.BigEndian
	db := make([]byte, n*tinyPage)
	copy(db, sqliteMagic)
	be.PutUint16(db[16:], tinyPage)
	db[18], db[19] = 1, 1
	statement := "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"
	kind := 13 + 2*len(statement)
	row := []byte{7, 23, 29, 29, 1, 0x80 | byte(kind>>7), byte(kind & 0x7f)}
	row = append(row, "tablePackagesPackages\x02"+statement...)
	cell := append([]byte{byte(len(row)), 1}, row...)
	at := tinyPage - len(cell)
	copy(db[at:], cell)
	db[100] = treeLeaf
	be.PutUint16(db[103:], 1)
	be.PutUint16(db[108:], uint16(at))
	return db
}

// sqliteTree makes interior pages, whose cells all lead where next says for page n, up to a leaf of no rows.
func sqliteTree(next func(n int) int, leaf int) []byte {
	const cells = 60
	be := binary.BigEndian
	db := sqlitePages(64)
	db[(leaf-1)*tinyPage] = treeLeaf
	for n := 2; n < leaf; n++ {
		page := db[(n-1)*tinyPage:]
		page[0] = treeInterior
		be.PutUint16(page[3:], cells)
		be.PutUint32(page[8:], uint32(next(n)))
		for i := range cells {
			at := tinyPage - 5*(i+1)
			be.PutUint16(page[12+2*i:], uint16(at))
			be.PutUint32(page[at:], uint32(next(n)))
		}
	}
	return db
}

// sqliteRows is a table whose rows all have the same overflow pages.
func sqliteRows() []byte {
	const pages, rows = 2000, 50
	be := binary.BigEndian
	db := sqlitePages(pages)
	leaf := db[tinyPage:]
	leaf[0] = treeLeaf
	be.PutUint16(leaf[3:], rows)
	size := 1 << 19 // varint: 3 bytes, of which the local part is 39 or more
	cell := []byte{0x80 | byte(size>>14), 0x80 | byte(size>>7&0x7f), byte(size & 0x7f), 1}
	kind := serialBlob + 2*(size-5)
	record := []byte{5, 0, 0x80 | byte(kind>>14), 0x80 | byte(kind>>7&0x7f), byte(kind & 0x7f)}
	for i := range rows {
		be.PutUint16(leaf[8+2*i:], tinyPage-340)
	}
	copy(leaf[tinyPage-340:], append(bytes.Clone(cell), record...))
	local := (&sqlite{usable: tinyPage}).local(int64(size))
	be.PutUint32(leaf[tinyPage-340+len(cell)+int(local):], 3)
	for n := 3; n < pages; n++ {
		be.PutUint32(db[(n-1)*tinyPage:], uint32(n+1))
	}
	return db
}

// TestSQLiteSchemaOfManyTables reads a schema that a library would build in memory: of 30,000 tables, the first is rpm's.
func TestSQLiteSchemaOfManyTables(t *testing.T) { // alone: it counts what is allocated
	db, file := makeSQLite(t)
	execAll(t, db, `PRAGMA synchronous=OFF`, createPackages, `CREATE TABLE x (a)`, `PRAGMA writable_schema=ON`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 30000)
		INSERT INTO sqlite_schema SELECT 'table', 't' || i, 't' || i, 3,
			'CREATE TABLE t' || i || ' (a' || replace(hex(zeroblob(60)), '0', ',b') || ')' FROM n`)
	db.Close()
	in := openDatabase(t, file)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := readSQLite(t.Context(), in, func([]byte) error { return nil })
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err != nil || n > 4<<20 {
		t.Errorf("%d KiB allocated for a database of %d, %v", n>>10, in.size>>10, err)
	}
}

// TestSQLiteLogLies has a log that says that the database has four billion pages.
func TestSQLiteLogLies(t *testing.T) {
	t.Parallel()
	main, log := loggedPackages(t)
	sum := &logSum{order: binary.LittleEndian}
	if log[3]&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(log[:24])
	for at := logHeader; at < len(log); at += logFrame + 4096 {
		frame := log[at:]
		if binary.BigEndian.Uint32(frame[4:]) > 0 {
			binary.BigEndian.PutUint32(frame[4:], 1<<32-1)
		}
		sum.add(frame[:8])
		sum.add(frame[logFrame : logFrame+4096])
		binary.BigEndian.PutUint32(frame[16:], sum.s0)
		binary.BigEndian.PutUint32(frame[20:], sum.s1)
	}
	db := inMemory(main)
	db.log, db.logSize = bytes.NewReader(log), int64(len(log))
	s, err := openSQLite(t.Context(), db)
	if err != nil || s.log == nil || s.left > pages((db.size+db.logSize)/s.page) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestLongHeaderCostsOnePackage has a package that is longer than what is read, among others.
func TestLongHeaderCostsOnePackage(t *testing.T) {
	long := buildHeader(field{tagName, "long"}, field{9999, strings.Repeat("x", maxHeader)})
	blobs := [][]byte{someHeader("a"), long, someHeader("b")}
	db, file := makeSQLite(t)
	execAll(t, db, `PRAGMA synchronous=OFF`, createPackages)
	for _, b := range blobs {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO Packages (blob) VALUES (?)`, b); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	sqlite, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"rpmdb.sqlite": sqlite, "Packages.db": rpmtest.NDB(blobs...),
		"Packages": rpmtest.BDB(binary.LittleEndian, 4096, blobs...),
	} {
		tr, c := treetest.New(treetest.Files{"var/lib/rpm/" + name: b})
		s := &treetest.Sink{}
		err := Read(t.Context(), rootfs.New(tr, c), t.TempDir(), s)
		want := fmt.Sprint("more than ", maxHeader, " bytes")
		if err != nil || len(s.Packages) != 2 || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], want) {
			t.Errorf("%s: %d packages, warnings %q, %v", name, len(s.Packages), s.Warnings, err)
		}
	}
}

// TestSpoolKeepsHoles copies a database of zeros, which takes no space.
func TestSpoolKeepsHoles(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 64<<20 + 1
	content := io.MultiReader(strings.NewReader("head"), io.LimitReader(zeros{}, size-8), strings.NewReader("tail"))
	if err := copySparse(t.Context(), f, content, size); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != size {
		t.Fatal(info, err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes on disk", st.Blocks*512)
	}
	for off, want := range map[int64]string{0: "head", size / 2: "\x00\x00\x00\x00", size - 4: "tail"} {
		b := make([]byte, 4)
		if _, err := f.ReadAt(b, off); err != nil || string(b) != want {
			t.Errorf("at %d: %q, %v", off, b, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
