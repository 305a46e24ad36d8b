package main

import (
	"encoding/json"
	"fmt"
	"io"
	"syscall"

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

// peakRSS is the most memory that the process has had, in bytes.
func peakRSS() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss * 1024
}
