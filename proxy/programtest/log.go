package programtest

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"
)

// Line is a line of the log by its keys. One that is no JSON has the level OUTPUT.
type Line map[string]any

// Log collects what a process logs. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []Line
	rest  []byte        // of a line that is not complete
	wake  chan struct{} // closed, and replaced, when a line comes
	ended bool
}

func newLog() *Log { return &Log{wake: make(chan struct{})} }

// Write takes what the process prints, one JSON object a line.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		text, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			break
		}
		var line Line
		if json.Unmarshal(text, &line) != nil {
			line = Line{"msg": string(text), "level": "OUTPUT"}
		}
		l.lines, l.rest = append(l.lines, line), rest
	}
	l.wakeAll()
	return len(b), nil
}

// end wakes those who await what will not come any more.
func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeAll()
}

func (l *Log) wakeAll() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// Await returns the first line that fits, and waits for it.
func (l *Log) Await(tb testing.TB, fits func(Line) bool) Line {
	tb.Helper()
	timeout := time.After(Patience)
	for {
		l.mu.Lock()
		i, wake, ended, all := slices.IndexFunc(l.lines, fits), l.wake, l.ended, l.lines
		l.mu.Unlock()
		switch {
		case i >= 0:
			return all[i]
		case ended:
			tb.Fatalf("strata ended before it logged what was awaited: %v", all)
		}
		select {
		case <-wake:
		case <-timeout:
			tb.Fatalf("strata did not log what was awaited: %v", all)
		}
	}
}

// Find returns the lines that fit.
func (l *Log) Find(fits func(Line) bool) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Line
	for _, line := range l.lines {
		if fits(line) {
			out = append(out, line)
		}
	}
	return out
}
