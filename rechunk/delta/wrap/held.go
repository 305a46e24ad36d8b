package wrap

import (
	"bytes"
	"io"
)

// Scratch gives temporary files. Whoever implements it bounds what they take together. Safe for concurrent use.
type Scratch interface {
	Create() (ScratchFile, error)
}

// ScratchFile is a temporary file: written once, then read at random. Close removes it.
type ScratchFile interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Size() int64
}

// heldInMemory is how many plain bytes of a part are kept in memory while what is in them is looked for.
const heldInMemory = 1 << 20

// held collects plain bytes: in memory first, then in a scratch file. Without scratch, what is too large is not held.
type held struct {
	scratch Scratch
	memory  []byte
	file    ScratchFile
	dropped bool
}

// Write implements io.Writer.
func (h *held) Write(p []byte) (int, error) {
	if h.file != nil {
		return h.file.Write(p)
	}
	if len(h.memory)+len(p) <= heldInMemory && !h.dropped {
		h.memory = append(h.memory, p...)
		return len(p), nil
	}
	if h.scratch == nil {
		h.memory, h.dropped = nil, true
		return len(p), nil
	}
	f, err := h.scratch.Create()
	if err != nil {
		return 0, err
	}
	h.file = f
	if _, err := f.Write(h.memory); err != nil {
		return 0, err
	}
	h.memory = nil
	return f.Write(p)
}

// Close removes the scratch file, if there is one.
func (h *held) Close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// ReadAt implements io.ReaderAt.
func (h *held) ReadAt(p []byte, off int64) (int, error) {
	if h.file != nil {
		return h.file.ReadAt(p, off)
	}
	return bytes.NewReader(h.memory).ReadAt(p, off)
}

// Size implements Content.
func (h *held) Size() int64 {
	if h.file != nil {
		return h.file.Size()
	}
	return int64(len(h.memory))
}
