package legible

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Writer passes on lines of text, or JSON, and writes out whatever else does not show. It stands where text leaves the
// program, for all that did not pass Line on its way there. It is safe for concurrent use.
type Writer struct {
	mu sync.Mutex
	to io.Writer
	// part is the beginning of a character whose end is in the next write.
	part []byte
}

// NewWriter returns a Writer before another.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.part) > 0 {
		text = append(w.part, p...)
		w.part = nil
	}
	whole := len(text)
	for i := len(text) - 1; i >= 0 && i > len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				whole = i
			}
			break
		}
	}
	w.part = append(w.part, text[whole:]...)
	if _, err := w.to.Write(Lines(text[:whole])); err != nil {
		return 0, err //nolint:wrapcheck // a writer is in nobody's way
	}
	return len(p), nil
}

// Lines returns lines of text, or a JSON document, with whatever else does not show written out. It may return what it is
// given.
func Lines(text []byte) []byte {
	plain := 0
	for n := passes(text); n > 0; n = passes(text[plain:]) {
		plain += n
	}
	if plain == len(text) {
		return text
	}
	out := append(make([]byte, 0, len(text)+16), text[:plain]...)
	for rest := string(text[plain:]); len(rest) > 0; {
		if rest[0] == '\n' || rest[0] == '\t' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}
		var n int
		out, n = appendFirst(out, rest)
		rest = rest[n:]
	}
	return out
}

// passes is the length of the first character if there is one that stays as it is, else 0.
func passes(text []byte) int {
	r, n := utf8.DecodeRune(text)
	if r == '\n' || r == '\t' || Shows(r) && (r != utf8.RuneError || n > 1) {
		return n
	}
	return 0
}
