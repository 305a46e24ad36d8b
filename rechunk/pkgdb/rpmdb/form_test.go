package rpmdb

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

// installedHeader is a header as rpm stores it of a package that was installed at a time.
func installedHeader(name string, at uint32) []byte {
	return buildHeader(field{tagName, name}, field{tagVersion, "1"}, field{tagInstallTime, []uint32{at}},
		field{tagInstallTID, []uint32{at + 1}}, field{tagSourceRPM, name + "-1-1.src.rpm"},
		field{tagBaseNames, []string{"a", "b"}})
}

const (
	createName = `CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)`
	createTID  = `CREATE TABLE 'Installtid' (key 'BLOB' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)`
)

// installedDatabase makes a database of packages that were installed at a time; edit changes it afterwards.
func installedDatabase(t testing.TB, at uint32, edit ...string) []byte {
	t.Helper()
	db, file := makeSQLite(t)
	execAll(t, db, createPackages, createName, `CREATE INDEX 'Name_key_idx' ON 'Name'(key ASC)`, createTID)
	for i, name := range []string{"bash", "glibc", "zlib"} {
		insert(t, db, `INSERT INTO Packages (blob) VALUES (?)`, installedHeader(name, at+uint32(i)))
		insert(t, db, `INSERT INTO Name VALUES (?, ?, 0)`, name, i+1)
		insert(t, db, `INSERT INTO Installtid VALUES (?, ?, 0)`,
			binary.LittleEndian.AppendUint32(nil, at+uint32(i)+1), i+1)
	}
	execAll(t, db, edit...)
	db.Close()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func insert(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func formOf(t testing.TB, b []byte) *Form {
	t.Helper()
	f, err := FormOf(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFormLeavesOutInstallTimes(t *testing.T) {
	t.Parallel()
	a, b := installedDatabase(t, 1000), installedDatabase(t, 777_000_000)
	x, y := formOf(t, a), formOf(t, b)
	if bytes.Equal(a, b) || x.Sum != y.Sum || len(x.Installed) != 3 || x.Installed[0] != 1000<<32|1001 ||
		y.Installed[2] != 777_000_002<<32|777_000_003 {
		t.Errorf("%+v, %+v", x, y)
	}
	rebuilt := formOf(t, installedDatabase(t, 1000, `CREATE TABLE x (a)`, `INSERT INTO x VALUES (zeroblob(100000))`,
		`DROP TABLE x`))
	if rebuilt.Sum != x.Sum {
		t.Error("where pages lie is a part of the form")
	}
}

// TestFormHoldsAllElse changes one thing at a time.
func TestFormHoldsAllElse(t *testing.T) {
	t.Parallel()
	want := formOf(t, installedDatabase(t, 1000)).Sum
	for _, edit := range []string{
		`UPDATE Name SET key = 'dash' WHERE hnum = 1`,
		`DELETE FROM Name WHERE hnum = 3`,
		`UPDATE Name SET idx = 1 WHERE hnum = 2`,
		`UPDATE Packages SET hnum = 9 WHERE hnum = 3`,
		`DELETE FROM Packages WHERE hnum = 3`,
		`INSERT INTO Packages (blob) VALUES (x'00')`,
		`UPDATE Installtid SET key = x'01020304' WHERE hnum = 1`,
		`UPDATE Installtid SET key = x'e903000000' WHERE hnum = 1`,
		`UPDATE Installtid SET hnum = 2 WHERE hnum = 1`,
		`UPDATE Installtid SET idx = 2 WHERE hnum = 1`,
		`CREATE TABLE more (a)`,
		`DROP INDEX Name_key_idx`,
		`CREATE VIEW v AS SELECT * FROM Packages`,
		`PRAGMA user_version = 7`,
		`PRAGMA application_id = 7`,
	} {
		if formOf(t, installedDatabase(t, 1000, edit)).Sum == want {
			t.Errorf("%s: the same form", edit)
		}
	}
}

// TestMaskProperty changes one byte of a header: unless it is one of the two times, the masked headers differ.
func TestMaskProperty(t *testing.T) {
	t.Parallel()
	blob := installedHeader("bash", 1000)
	masked := bytes.Clone(blob)
	if at, tid := maskInstalled(masked); at != 1000 || tid != 1001 {
		t.Fatal(at, tid)
	}
	var free []int // bytes of times
	for i := range blob {
		if blob[i] != masked[i] {
			free = append(free, i&^3, i&^3+1, i&^3+2, i&^3+3)
		}
	}
	slices.Sort(free)
	free = slices.Compact(free)
	if len(free) != 8 {
		t.Fatal(free)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range blob {
		other := bytes.Clone(blob)
		other[i] ^= byte(1 + r.IntN(255))
		maskInstalled(other)
		if same := bytes.Equal(other, masked); same != slices.Contains(free, i) {
			t.Errorf("byte %d changed: same is %v", i, same)
		}
	}
}

// TestMaskIsNotFooled has headers whose other values lie where the times do.
func TestMaskIsNotFooled(t *testing.T) {
	t.Parallel()
	be := binary.BigEndian
	entry := func(blob []byte, tag uint32) []byte {
		for at := preamble; ; at += indexEntry {
			if be.Uint32(blob[at:]) == tag {
				return blob[at : at+indexEntry]
			}
		}
	}
	offset := func(blob []byte, tag uint32) uint32 { return be.Uint32(entry(blob, tag)[8:]) }
	for name, edit := range map[string]func(blob []byte){
		"a version on it": func(b []byte) { be.PutUint32(entry(b, tagVersion)[8:], offset(b, tagInstallTime)) },
		"a version in it": func(b []byte) { be.PutUint32(entry(b, tagVersion)[8:], offset(b, tagInstallTID)+3) },
		"strings over it": func(b []byte) {
			be.PutUint32(entry(b, tagBaseNames)[8:], 0)
			be.PutUint32(entry(b, tagBaseNames)[12:], 7)
		},
		"each other":  func(b []byte) { be.PutUint32(entry(b, tagInstallTID)[8:], offset(b, tagInstallTime)) },
		"bytes":       func(b []byte) { be.PutUint32(entry(b, tagInstallTime)[4:], typeBinary) },
		"two times":   func(b []byte) { be.PutUint32(entry(b, tagInstallTime)[12:], 2) },
		"twice":       func(b []byte) { be.PutUint32(entry(b, tagVersion), tagInstallTime) },
		"none":        func(b []byte) { be.PutUint32(entry(b, tagInstallTime), 9999) },
		"outside":     func(b []byte) { be.PutUint32(entry(b, tagInstallTime)[8:], uint32(len(b))) },
		"an odd type": func(b []byte) { be.PutUint32(entry(b, tagVersion)[4:], 77) },
	} {
		blob := installedHeader("bash", 1000)
		edit(blob)
		masked := bytes.Clone(blob)
		if at, tid := maskInstalled(masked); at != 0 || tid != 0 || !bytes.Equal(blob, masked) {
			t.Errorf("%s: masked", name)
		}
	}
}

func TestFormOfOtherDatabases(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"ndb": rpmtest.NDB(someHeader("a")), "bdb": rpmtest.BDB(binary.LittleEndian, 512, someHeader("a")), "empty": nil,
		"no packages": sqlitePages(4)[:512],
	} {
		f, err := FormOf(t.Context(), bytes.NewReader(b), int64(len(b)))
		if f != nil || !errors.Is(err, installed.ErrDamaged) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

// TestFormReadsPagesOnce has databases that lead in circles.
func TestFormReadsPagesOnce(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"pages of many parents": sqliteTree(func(n int) int { return n + 1 }, 8), "one chain for all rows": sqliteRows(),
	} {
		c := &counting{ReaderAt: bytes.NewReader(b)}
		_, err := FormOf(t.Context(), c, int64(len(b)))
		if !errors.Is(err, installed.ErrDamaged) || c.n > 2*int64(len(b)) {
			t.Errorf("%s: %v, %d bytes read of %d", name, err, c.n, len(b))
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add(installedDatabase(f, 1000))
	f.Add(sqliteRows())
	f.Fuzz(func(t *testing.T, b []byte) {
		form, err := FormOf(context.Background(), bytes.NewReader(b), int64(len(b)))
		if (form == nil) == (err == nil) {
			t.Errorf("%v, %v", form, err)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add(installedHeader("a", 7))
	f.Fuzz(func(t *testing.T, blob []byte) {
		once := bytes.Clone(blob)
		at, tid := maskInstalled(once)
		if at == 0 && tid == 0 && !bytes.Equal(once, blob) {
			t.Error("changed without a time")
		}
		twice := bytes.Clone(once)
		if maskInstalled(twice); !bytes.Equal(once, twice) {
			t.Error("masking again changes something")
		}
	})
}
