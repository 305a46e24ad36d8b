package main

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

// corpus is the package history of an operating system: what each release held.
type corpus struct {
	branches map[string][]release
	source   map[string]string // package → source package
	size     map[string]int64  // package → installed bytes
	// updates are the times, ascending, at which a source package changed in any branch.
	updates map[string][]int64
}

// release is one version of a branch: package → epoch, version, release and architecture.
type release struct {
	date     time.Time
	packages map[string]string
}

// defaultSize is the installed size of a package of which none is known.
const defaultSize = 512 << 10

// loadCorpus reads fcos-history.tsv.xz, fcos-sources.tsv and package-sizes.tsv.
func loadCorpus(dir string) (*corpus, error) {
	c := &corpus{branches: map[string][]release{}, source: map[string]string{}, size: map[string]int64{}, updates: map[string][]int64{}}
	sources, err := os.ReadFile(filepath.Join(dir, "fcos-sources.tsv"))
	if err != nil {
		return nil, err
	}
	if err := rows(sources, 2, func(f []string) error { c.source[f[0]] = f[1]; return nil }); err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	sizes, err := os.ReadFile(filepath.Join(dir, "package-sizes.tsv"))
	if err != nil {
		return nil, err
	}
	err = rows(sizes, 2, func(f []string) (err error) { c.size[f[0]], err = strconv.ParseInt(f[1], 10, 64); return err })
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
	for s := range c.updates {
		slices.Sort(c.updates[s])
		c.updates[s] = slices.Compact(c.updates[s])
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

func (c *corpus) addRow(f []string) error {
	seq, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	date, err := time.Parse(time.DateOnly, f[2])
	if err != nil {
		return err
	}
	releases := c.branches[f[0]]
	for len(releases) < seq {
		next := release{date: date, packages: map[string]string{}}
		if len(releases) > 0 {
			for p, v := range releases[len(releases)-1].packages {
				next.packages[p] = v
			}
		}
		releases = append(releases, next)
	}
	c.branches[f[0]] = releases
	last := &releases[seq-1]
	last.date = date
	if f[4] == "" {
		delete(last.packages, f[3])
		return nil
	}
	if seq > 1 {
		s := c.sourceOf(f[3])
		c.updates[s] = append(c.updates[s], date.Unix())
	}
	last.packages[f[3]] = f[4]
	return nil
}

func (c *corpus) sourceOf(pkg string) string {
	if s, ok := c.source[pkg]; ok && s != "" {
		return s
	}
	return pkg
}

func (c *corpus) sizeOf(pkg string) int64 {
	if s, ok := c.size[pkg]; ok && s > 0 {
		return s
	}
	return defaultSize
}
