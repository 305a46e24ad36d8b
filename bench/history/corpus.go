// Package history is the package history of an operating system, for benchmarks: what each release held, and invented files
// for its packages.
package history

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Corpus is a package history.
type Corpus struct {
	// Branches are the releases of each branch, oldest first.
	Branches map[string][]Release
	// Source gives a package's source package, Size its installed bytes. Either may lack packages.
	Source map[string]string
	Size   map[string]int64
	// Updates are the times, ascending, in seconds since the Unix epoch, at which a source package changed in any branch.
	Updates map[string][]int64
}

// Release is one version of a branch.
type Release struct {
	Date time.Time
	// Packages maps a package to its epoch, version, release and architecture.
	Packages map[string]string
}

// defaultSize is the installed size of a package of which none is known.
const defaultSize = 512 << 10

// New returns a history without releases.
func New() *Corpus {
	return &Corpus{Branches: map[string][]Release{}, Source: map[string]string{}, Size: map[string]int64{},
		Updates: map[string][]int64{}}
}

// Load reads fcos-history.tsv.xz, fcos-sources.tsv and package-sizes.tsv from a directory. It runs xz.
func Load(dir string) (*Corpus, error) {
	c := New()
	sources, err := os.ReadFile(filepath.Join(dir, "fcos-sources.tsv"))
	if err != nil {
		return nil, err
	}
	if err := rows(sources, 2, func(f []string) error { c.Source[f[0]] = f[1]; return nil }); err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	sizes, err := os.ReadFile(filepath.Join(dir, "package-sizes.tsv"))
	if err != nil {
		return nil, err
	}
	err = rows(sizes, 2, func(f []string) (err error) { c.Size[f[0]], err = strconv.ParseInt(f[1], 10, 64); return err })
	if err != nil {
		return nil, fmt.Errorf("sizes: %w", err)
	}
	history, err := exec.Command("xz", "-dc", filepath.Join(dir, "fcos-history.tsv.xz")).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack the history: %w", err)
	}
	if err := rows(history, 5, c.addRow); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	for s := range c.Updates {
		slices.Sort(c.Updates[s])
		c.Updates[s] = slices.Compact(c.Updates[s])
	}
	return c, nil
}

// rows calls f for each line but the first, split at tabs.
func rows(data []byte, fields int, f func([]string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		cols := strings.Split(lines.Text(), "\t")
		if n == 1 {
			continue
		}
		if len(cols) < fields {
			return fmt.Errorf("line %d: %d columns, %d expected", n, len(cols), fields)
		}
		if err := f(cols); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (c *Corpus) addRow(f []string) error {
	seq, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	date, err := time.Parse(time.DateOnly, f[2])
	if err != nil {
		return err
	}
	releases := c.Branches[f[0]]
	for len(releases) < seq {
		next := Release{Date: date, Packages: map[string]string{}}
		if len(releases) > 0 {
			for p, v := range releases[len(releases)-1].Packages {
				next.Packages[p] = v
			}
		}
		releases = append(releases, next)
	}
	c.Branches[f[0]] = releases
	last := &releases[seq-1]
	last.Date = date
	if f[4] == "" {
		delete(last.Packages, f[3])
		return nil
	}
	if seq > 1 {
		s := c.SourceOf(f[3])
		c.Updates[s] = append(c.Updates[s], date.Unix())
	}
	last.Packages[f[3]] = f[4]
	return nil
}

// SourceOf gives the source package of a package, itself when unknown.
func (c *Corpus) SourceOf(pkg string) string {
	if s, ok := c.Source[pkg]; ok && s != "" {
		return s
	}
	return pkg
}

// SizeOf gives the installed bytes of a package, half a MiB when unknown.
func (c *Corpus) SizeOf(pkg string) int64 {
	if s, ok := c.Size[pkg]; ok && s > 0 {
		return s
	}
	return defaultSize
}

// Scale changes the sizes of all packages.
func (c *Corpus) Scale(by float64) {
	sizes := map[string]int64{}
	for _, releases := range c.Branches {
		for _, r := range releases {
			for p := range r.Packages {
				if _, ok := sizes[p]; !ok {
					sizes[p] = max(1, int64(float64(c.SizeOf(p))*by))
				}
			}
		}
	}
	c.Size = sizes
}
