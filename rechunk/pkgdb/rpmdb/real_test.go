package rpmdb

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gorpmdb "github.com/anchore/go-rpmdb/pkg"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// row is what is compared of one package.
type row struct {
	Name, Source, Version string
	Files                 []string
}

func (r row) equal(o row) bool {
	return r.Name == o.Name && r.Source == o.Source && r.Version == o.Version && slices.Equal(r.Files, o.Files)
}

func sortRows(rows []row) []row {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), slices.Compare(a.Files, b.Files))
	})
	return rows
}

// decoded is a package with its files.
type decoded struct {
	installed.Package
	Files []installed.File
}

// decode decodes a header blob; false if it is no package's.
func decode(blob []byte) (d decoded, ok bool, err error) {
	p, files, err := decodePackage(blob)
	if p == nil || err != nil {
		return d, false, err
	}
	d.Package = *p
	return d, true, files.each(func(f *installed.File) error {
		d.Files = append(d.Files, *f)
		return nil
	})
}

// decodeAll returns the packages of a database file.
func decodeAll(t testing.TB, file string) []decoded {
	t.Helper()
	var all []decoded
	err := readFile(t, file, func(blob []byte) error {
		p, ok, err := decode(blob)
		if ok && err == nil {
			all = append(all, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readFile(t testing.TB, file string, take func([]byte) error) error {
	for _, f := range formats() {
		if f.name == filepath.Base(file) {
			return f.read(t.Context(), openDatabase(t, file), take)
		}
	}
	return fmt.Errorf("no reader for %s", file)
}

func TestRealDatabasesAgreeWithPeer(t *testing.T) {
	t.Parallel()
	for _, file := range realDatabases(t) {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			db, err := gorpmdb.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			list, err := db.ListPackages()
			if err != nil {
				t.Fatal(err)
			}
			var want, got []row
			for _, p := range list {
				if p.Name == publicKey {
					continue
				}
				files, err := p.InstalledFileNames()
				if err != nil {
					t.Fatal(err)
				}
				r := row{Name: p.Name, Files: files}
				r.Source, r.Version, _ = splitSourceRPM(p.SourceRpm)
				want = append(want, r)
			}
			for _, p := range decodeAll(t, file) {
				r := row{Name: p.Name, Source: p.Source, Version: p.Version}
				for _, f := range p.Files {
					r.Files = append(r.Files, f.Path)
				}
				got = append(got, r)
				if p.BuildTime == 0 {
					t.Errorf("%s: no build time", p.Name)
				}
			}
			// A hundred thousand paths are too many for cmp where nothing differs.
			if same := slices.EqualFunc(sortRows(want), sortRows(got), row.equal); !same {
				t.Errorf("packages differ from go-rpmdb's (-want +got):\n%.2000s", gocmp.Diff(want, got))
			}
		})
	}
}

// TestRealDatabasesAgreeWithRPM compares names, sources, times and counts with rpm itself.
func TestRealDatabasesAgreeWithRPM(t *testing.T) {
	t.Parallel()
	rpm, err := exec.LookPath("rpm")
	if err != nil {
		t.Skip("rpm is not installed")
	}
	const format = `%{NAME} %{SOURCERPM} %{BUILDTIME} [%{CHANGELOGTIME},] [%{FILENAMES}\t]\n`
	for _, file := range realDatabases(t) {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			dir := copyDatabase(t, file)
			cmd := exec.Command(rpm, "--dbpath", dir, "-qa", "--qf", format)
			cmd.Env = append(cmd.Environ(), "LC_ALL=C")
			out, err := cmd.Output()
			if err != nil || len(out) == 0 {
				t.Skipf("this rpm cannot read the database: %v", err)
			}
			var want []string
			for line := range strings.Lines(string(out)) {
				if !strings.HasPrefix(line, publicKey+" ") {
					want = append(want, summary(t, strings.TrimSuffix(line, "\n")))
				}
			}
			var got []string
			for _, p := range decodeAll(t, file) {
				got = append(got, fmt.Sprint(p.Name, " ", p.Source, " ", p.Version, " ", p.BuildTime, " ", p.Changes, " ",
					len(p.Files)))
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("packages differ from rpm's (-want +got):\n%.2000s", diff)
			}
		})
	}
}
