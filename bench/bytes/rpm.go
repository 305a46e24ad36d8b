package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

// rpmDatabase makes the package database of an invented image.
type rpmDatabase struct {
	c     *history.Corpus
	built time.Time // of the image: when its packages were installed
	list  []*rpmHeader
}

// rpmHeader is a package on its way into the database.
type rpmHeader struct {
	name    string
	fields  []rpmtest.Field
	size    uint32
	names   []string
	dirs    []string
	at      []uint32
	sizes   []uint32
	modes   []uint16
	times   []uint32
	digests []string
	dirAt   map[string]uint32
}

// rpm's header tags that are written (include/rpm/rpmtag.h).
const (
	tagName, tagVersion, tagRelease, tagEpoch, tagSummary = 1000, 1001, 1002, 1003, 1004
	tagBuildTime, tagInstallTime, tagSize, tagLicense     = 1006, 1008, 1009, 1014
	tagArch, tagFileSizes, tagFileModes, tagFileTimes     = 1022, 1028, 1030, 1034
	tagFileDigests, tagFileLinks, tagFileFlags            = 1035, 1036, 1037
	tagFileUser, tagFileGroup, tagSourceRPM               = 1039, 1040, 1044
	tagChangeTime, tagChangeName, tagChangeText           = 1080, 1081, 1082
	tagDirIndexes, tagBaseNames, tagDirNames              = 1116, 1117, 1118
	tagFileDigestAlgo, sha256Algo                         = 5011, 8
)

// maxChangelog is how many entries of a changelog a package keeps.
const maxChangelog = 40

// add begins a package that was built at a time.
func (d *rpmDatabase) add(name, evra string, built time.Time) *rpmHeader {
	epoch, version, release, arch := splitEVRA(evra)
	source := d.c.SourceOf(name)
	h := &rpmHeader{name: name, dirAt: map[string]uint32{}}
	h.fields = []rpmtest.Field{
		{Tag: tagName, Value: name}, {Tag: tagVersion, Value: version}, {Tag: tagRelease, Value: release},
		{Tag: tagEpoch, Value: []uint32{epoch}},
		{Tag: tagSummary, Value: "invented files of " + name}, {Tag: tagBuildTime, Value: []uint32{uint32(built.Unix())}},
		{Tag: tagInstallTime, Value: []uint32{uint32(d.built.Unix())}}, {Tag: tagLicense, Value: "see source"},
		{Tag: tagArch, Value: arch},
		{Tag: tagSourceRPM, Value: fmt.Sprintf("%s-%s-%s.src.rpm", source, version, release)},
	}
	times := d.c.Updates[source]
	times = times[:sort.Search(len(times), func(i int) bool { return times[i] > d.built.Unix() })]
	var at []uint32
	var who, what []string
	for i := len(times) - 1; i >= 0 && len(at) < maxChangelog; i-- {
		at = append(at, uint32(times[i]))
		who = append(who, "Maintainer <maintainer@example.org>")
		what = append(what, fmt.Sprintf("- update %d of %s", i+1, source))
	}
	if len(at) > 0 {
		h.fields = append(h.fields, rpmtest.Field{Tag: tagChangeTime, Value: at},
			rpmtest.Field{Tag: tagChangeName, Value: who},
			rpmtest.Field{Tag: tagChangeText, Value: what})
	}
	d.list = append(d.list, h)
	return h
}

// file adds a file that the package owns.
func (h *rpmHeader) file(f file, sum [32]byte) {
	dir := "/" + path.Dir(f.path) + "/"
	n, ok := h.dirAt[dir]
	if !ok {
		n = uint32(len(h.dirs))
		h.dirAt[dir] = n
		h.dirs = append(h.dirs, dir)
	}
	const regular = 0o100000
	h.size += uint32(f.size)
	h.at = append(h.at, n)
	h.names = append(h.names, path.Base(f.path))
	h.sizes = append(h.sizes, uint32(f.size))
	h.modes = append(h.modes, uint16(regular|f.mode))
	h.times = append(h.times, uint32(f.time.Unix()))
	h.digests = append(h.digests, fmt.Sprintf("%x", sum))
}

// rpmIndexes are the tables without which rpm does not open a database. Only the first has rows here.
const rpmIndexes = "Name Basenames Group Requirename Providename Conflictname Obsoletename Triggername Dirnames Installtid Sigmd5 " +
	"Sha1header Filetriggername Transfiletriggername Recommendname Suggestname Supplementname Enhancename"

// encode gives the database in rpm's sqlite format; it is made in a temporary file.
func (d *rpmDatabase) encode() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "rpmdb-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove(dir)) }()
	file := filepath.Join(dir, "rpmdb.sqlite")
	if err := d.write(file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func (d *rpmDatabase) write(file string) (err error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	schema := "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);"
	for _, name := range strings.Fields(rpmIndexes) {
		schema += fmt.Sprintf("CREATE TABLE '%[1]s' (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);"+
			"CREATE INDEX '%[1]s_key_idx' ON '%[1]s' (key ASC);", name)
	}
	if _, err := db.Exec(schema); err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	for i, h := range d.list {
		_, err := tx.Exec("INSERT INTO Packages (hnum, blob) VALUES (?, ?)", i+1, h.encode())
		if err == nil {
			_, err = tx.Exec("INSERT INTO Name (key, hnum, idx) VALUES (?, ?, 0)", h.name, i+1)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// encode gives the package's header.
func (h *rpmHeader) encode() []byte {
	fields := append(h.fields, rpmtest.Field{Tag: tagSize, Value: []uint32{h.size}})
	if n := len(h.names); n > 0 {
		same := func(s string) []string {
			out := make([]string, n)
			for i := range out {
				out[i] = s
			}
			return out
		}
		fields = append(fields, []rpmtest.Field{
			{Tag: tagFileSizes, Value: h.sizes}, {Tag: tagFileModes, Value: h.modes}, {Tag: tagFileTimes, Value: h.times},
			{Tag: tagFileDigests, Value: h.digests}, {Tag: tagFileLinks, Value: same("")},
			{Tag: tagFileFlags, Value: make([]uint32, n)},
			{Tag: tagFileUser, Value: same("root")}, {Tag: tagFileGroup, Value: same("root")},
			{Tag: tagDirIndexes, Value: h.at}, {Tag: tagBaseNames, Value: h.names}, {Tag: tagDirNames, Value: h.dirs},
			{Tag: tagFileDigestAlgo, Value: []uint32{sha256Algo}},
		}...)
	}
	sort.Slice(fields, func(i, j int) bool { return fields[i].Tag < fields[j].Tag })
	return rpmtest.Header(fields...)
}
