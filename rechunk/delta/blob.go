package delta

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// memory is what blobs are in: so many bytes, and temporary files beyond. It knows the blobs that have one, so that none is
// left, wherever a delta ends. It is safe for concurrent use.
type memory struct {
	free    atomic.Int64
	scratch Scratch // nil for none
	mu      sync.Mutex
	spilled map[*blob]bool
}

func newMemory(n int64, s Scratch) *memory {
	m := &memory{scratch: s, spilled: map[*blob]bool{}}
	m.free.Store(n)
	return m
}

// spill gives a blob a temporary file.
func (m *memory) spill(b *blob) error {
	if m.scratch == nil {
		return fmt.Errorf("%w: no memory is left, and there are no temporary files", ErrLimit)
	}
	f, err := m.scratch.Create()
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spilled[b], b.file = true, f
	return nil
}

// remove closes a blob's temporary file.
func (m *memory) remove(b *blob) error {
	m.mu.Lock()
	f := b.file
	b.file = nil
	delete(m.spilled, b)
	m.mu.Unlock()
	if err := f.Close(); err != nil {
		return fmt.Errorf("remove a temporary file: %w", err)
	}
	return nil
}

// close removes the temporary files that are left, of blobs that nobody uses any more.
func (m *memory) close() error {
	var errs []error
	for _, b := range slices.Collect(maps.Keys(m.spilled)) {
		errs = append(errs, m.remove(b))
	}
	return errors.Join(errs...)
}

// take books n bytes, if they are free.
func (m *memory) take(n int64) bool {
	if m.free.Add(-n) >= 0 {
		return true
	}
	m.free.Add(n)
	return false
}

// blob is bytes that are written once and then read at random: in memory while they are few and there is some, else in a
// temporary file.
type blob struct {
	memory *memory
	bytes  []byte
	booked int64
	file   ScratchFile
}

// inMemory is how much of one blob is held in memory.
const inMemory = 16 << 20

func newBlob(m *memory) *blob { return &blob{memory: m} }

// Write implements io.Writer.
func (b *blob) Write(p []byte) (int, error) {
	if b.file == nil && b.grow(len(p)) {
		b.bytes = append(b.bytes, p...)
		return len(p), nil
	}
	if b.file == nil {
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	n, err := b.file.Write(p)
	if err != nil {
		err = fmt.Errorf("write a temporary file: %w", err)
	}
	return n, err
}

// grow makes room for n bytes more, in memory.
func (b *blob) grow(n int) bool {
	need := len(b.bytes) + n
	if need <= cap(b.bytes) {
		return true
	}
	if need > inMemory {
		return false
	}
	size := min(max(need, 2*cap(b.bytes)), inMemory)
	if !b.memory.take(int64(size) - b.booked) {
		return false
	}
	b.booked = int64(size)
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return true
}

// spill moves what is in memory to a file.
func (b *blob) spill() error {
	if err := b.memory.spill(b); err != nil {
		return err
	}
	if _, err := b.file.Write(b.bytes); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	b.release()
	return nil
}

func (b *blob) release() {
	b.memory.free.Add(b.booked)
	b.bytes, b.booked = nil, 0
}

// ReadAt implements io.ReaderAt.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	if b.file != nil {
		n, err := b.file.ReadAt(p, off)
		if err != nil && !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read a temporary file: %w", err)
		}
		return n, err
	}
	return bytes.NewReader(b.bytes).ReadAt(p, off)
}

// Size is how many bytes there are.
func (b *blob) Size() int64 {
	if b.file != nil {
		return b.file.Size()
	}
	return int64(len(b.bytes))
}

// reader reads from the start.
func (b *blob) reader() io.Reader { return io.NewSectionReader(b, 0, b.Size()) }

// Close gives back what the blob holds. It may be called again.
func (b *blob) Close() error {
	b.release()
	if b.file == nil {
		return nil
	}
	return b.memory.remove(b)
}
