package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printLine(w io.Writer, words ...any) error {
	_, err := fmt.Fprintln(w, words...)
	return err
}

// size shows bytes for people.
func size(n int64) string {
	if n < 0 {
		return "-" + humanize.Bytes(uint64(-n))
	}
	return humanize.Bytes(uint64(n))
}

// lastly returns a list with what is less worth knowing at its end, else in its order.
func lastly[T any](list []T, less func(T) bool) []T {
	out := slices.DeleteFunc(slices.Clone(list), less)
	return append(out, slices.DeleteFunc(slices.Clone(list), func(e T) bool { return !less(e) })...)
}

// peakRSS is the most memory that the process has had, in bytes; 0 where the kernel does not tell. (The rusage of a process
// counts what its parent had before exec, too.)
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib << 10
}
