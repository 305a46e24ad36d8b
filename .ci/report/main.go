// Command report reads what "go test -json" prints, shows what a person wants to see of it, and counts.
//
// With -tally it passes on go test's line for each package and all that failed tests printed, names what was skipped and
// why, and writes the counts to a file. With -sum it adds up all such files of a directory and prints one line. It ends with
// 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	tally := flag.String("tally", "", "read go test -json and write the counts to `file`")
	sum := flag.String("sum", "", "add up the counts in `directory`")
	flag.Parse()
	var c counts
	var err error
	switch {
	case *tally != "":
		if c, err = read(os.Stdin, os.Stdout); err == nil {
			err = c.save(*tally)
		}
	case *sum != "":
		if c, err = add(*sum); err == nil {
			fmt.Printf("%d passed, %d failed, %d skipped\n", c.Passed, c.Failed, c.Skipped)
		}
	default:
		err = errors.New("either -tally or -sum is needed")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(2)
	}
	if c.Failed > 0 {
		os.Exit(1)
	}
}

// counts are of tests and subtests, and of packages that failed without a test that did.
type counts struct{ Passed, Failed, Skipped int }

func (c counts) save(file string) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

func add(dir string) (counts, error) {
	var total counts
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		return total, errors.Join(err, fmt.Errorf("%s holds no counts", dir))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return total, err
		}
		var c counts
		if err := json.Unmarshal(b, &c); err != nil {
			return total, fmt.Errorf("%s: %w", f, err)
		}
		total.Passed, total.Failed, total.Skipped = total.Passed+c.Passed, total.Failed+c.Failed, total.Skipped+c.Skipped
	}
	return total, nil
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// maxLine bounds a line, in bytes.
const maxLine = 16 << 20

func read(in io.Reader, out io.Writer) (counts, error) {
	var r reader
	r.output, r.failed = map[string][]string{}, map[string]bool{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		r.take(e, out)
	}
	return r.counts, lines.Err()
}

// reader keeps what tests print until it is known how they end.
type reader struct {
	counts
	output map[string][]string // by package and test
	failed map[string]bool     // packages with a test that failed
}

func (r *reader) take(e event, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Action == "output" && e.Test == "" && closing(e.Output) || e.Action == "build-output" {
			fmt.Fprint(out, e.Output)
			return
		}
		r.output[key] = append(r.output[key], e.Output)
	case "pass", "skip", "fail":
		if e.Test == "" {
			r.endPackage(e, key, out)
		} else {
			r.endTest(e, key, out)
		}
		delete(r.output, key)
	}
}

// closing reports whether a line is go test's last word on a package.
func closing(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t")
}

func (r *reader) endTest(e event, key string, out io.Writer) {
	switch e.Action {
	case "pass":
		r.Passed++
	case "skip":
		r.Skipped++
		fmt.Fprintf(out, "skipped %s: %s\n", e.Test, reason(r.output[key]))
	case "fail":
		r.Failed++
		r.failed[e.Package] = true
		fmt.Fprint(out, strings.Join(r.output[key], ""))
	}
}

func (r *reader) endPackage(e event, key string, out io.Writer) {
	if e.Action == "fail" && !r.failed[e.Package] {
		r.Failed++
		fmt.Fprint(out, strings.Join(r.output[key], ""))
	}
}

// reason is the line that a test printed before it was skipped.
func reason(output []string) string {
	for _, line := range output {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "=== ") &&
			!strings.HasPrefix(line, "--- ") {
			return line
		}
	}
	return "no reason given"
}
