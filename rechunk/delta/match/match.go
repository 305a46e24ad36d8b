// Package match finds how new bytes come about from old ones: runs of old bytes, to which differences are added bytewise,
// and bytes that are new. That is the model of bsdiff (Percival, "Naive differences of executable code", 2003): in a program
// that was built again most code is where it was, relative to what surrounds it, and the addresses in it differ by few
// amounts.
//
// Where bsdiff sorts all suffixes of the old bytes, this package remembers hashes of short runs, so that it takes a few
// bytes of memory for each old one and works at tens of MB/s. Old bytes that do not fit into memory are matched in two
// steps: what may be of use for a stretch of the new ones is found by sparse hashes, and then matched as the rest is.
package match

import (
	"cmp"
	"context"
	"fmt"
	"io"
)

// Source is old or new bytes at random.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Op says where the next bytes of the new content come from.
type Op struct {
	// Source is which of the old contents they come from, from At on; -1 when they are new.
	Source int
	At     int64
	Length int
	// Data is what is added to each old byte, modulo 256; nil when they are equal. Of new bytes, Data are these. It is valid
	// until the call returns.
	Data []byte
	// Old are the old bytes that Data belongs to, nil when Data is nil or the bytes are new. It is as long valid.
	Old []byte
}

// Options say what matching may take.
type Options struct {
	// Memory bounds what is held, in bytes; 0 stands for 512 MiB, and less than 16 MiB is taken for that.
	Memory int64
	// Room is memory that one matcher after another works in, which saves clearing it; nil: each its own.
	Room *Room
}

// Room is memory that matchers take over from each other. It is for one goroutine, and for one matcher at a time.
type Room struct {
	index     *index
	old, data []byte
}

// roomMost is how many old bytes a room is kept for: what was taken for more is given back.
const roomMost = 4 << 20

// leave puts what a matcher worked in into its room.
func (m *Matcher) leave() {
	if m.room == nil || m.index == nil || cap(m.index.old) > roomMost || cap(m.data) > roomMost {
		return
	}
	m.room.index, m.room.old, m.room.data = m.index, m.index.old, m.data
}

// Match calls emit for runs of new, in order and without gaps, until all of it is dealt with. It does not depend on anything
// but its arguments. Errors are those of reading, of emit, and the context's.
func Match(ctx context.Context, old []Source, new Source, o Options, emit func(Op) error) error {
	m := New(old, o)
	defer m.leave()
	return m.Match(ctx, new, emit)
}

// Matcher matches several new contents against the same old ones. It is for one goroutine.
type Matcher struct {
	old    []Source
	memory int64
	window int64
	all    []section // all old contents, when they fit into memory
	index  *index
	sketch *sketch // when they do not
	diff   []byte
	data   []byte // the window of new
	room   *Room
}

// New makes a matcher. The old contents are read when something is matched first.
func New(old []Source, o Options) *Matcher {
	if o.Memory == 0 {
		o.Memory = 512 << 20
	}
	m := &Matcher{old: old, memory: max(o.Memory, 16<<20)}
	m.window = min(max(m.memory/8, 1<<20), 32<<20)
	if m.room = o.Room; m.room != nil {
		m.data = m.room.data
	}
	return m
}

// Match is the function Match, with the old contents of New.
func (m *Matcher) Match(ctx context.Context, new Source, emit func(Op) error) error {
	r := &run{Matcher: m, new: new, emit: emit}
	var size int64
	for _, s := range m.old {
		size += s.Size()
	}
	if size <= m.memory/4 && size < 1<<31 {
		return r.whole(ctx)
	}
	return r.windows(ctx)
}

// run is one call of Match.
type run struct {
	*Matcher
	new  Source
	emit func(Op) error
}

// section is a run of one of the old contents.
type section struct {
	source   int
	at, size int64
}

// whole matches with all old bytes in memory.
func (m *run) whole(ctx context.Context) error {
	if m.index == nil && m.new.Size() > 0 {
		for i, s := range m.old {
			m.all = append(m.all, section{source: i, size: s.Size()})
		}
		room := cmp.Or(m.room, &Room{})
		buf, err := m.read(m.all, room.old)
		if err != nil {
			return err
		}
		m.index = newIndex(buf, m.memory/8*5, room.index)
	}
	for at := int64(0); at < m.new.Size(); at += m.window {
		data, err := m.load(at)
		if err != nil {
			return err
		}
		if err := m.stretch(ctx, m.index, m.all, data); err != nil {
			return err
		}
	}
	return nil
}

// load reads the window of new that begins at a place. It is valid until the next one is read.
func (m *run) load(at int64) ([]byte, error) {
	n := min(m.window, m.new.Size()-at)
	if int64(cap(m.data)) < n {
		m.data = make([]byte, n)
	}
	return m.data[:n], readAt(m.new, m.data[:n], at)
}

// read gives sections of the old contents, one after another, in buf if it is large enough.
func (m *Matcher) read(sections []section, buf []byte) ([]byte, error) {
	var n int64
	for _, s := range sections {
		n += s.size
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	rest := buf
	for _, s := range sections {
		if err := readAt(m.old[s.source], rest[:s.size], s.at); err != nil {
			return nil, err
		}
		rest = rest[s.size:]
	}
	return buf, nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// stretch matches one window of new against an index of sections of old.
func (m *run) stretch(ctx context.Context, x *index, sections []section, data []byte) error {
	done := 0
	s := &scanner{x: x, new: data, out: func(b block) error {
		if err := m.literal(data[done:b.new]); err != nil {
			return err
		}
		done = b.new + b.length
		return m.copied(x.old, sections, data, b)
	}}
	if err := s.scan(ctx); err != nil {
		return err
	}
	return m.literal(data[done:])
}

func (m *run) literal(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	return m.emit(Op{Source: -1, Length: len(data), Data: data})
}

// copied emits a block, in pieces that lie in one section and are either equal or not.
func (m *run) copied(old []byte, sections []section, data []byte, b block) error {
	start := 0
	for _, s := range sections {
		if b.length == 0 {
			return nil
		}
		if b.old >= start+int(s.size) {
			start += int(s.size)
			continue
		}
		n := min(b.length, start+int(s.size)-b.old)
		at := s.at + int64(b.old-start)
		if err := m.same(s.source, at, old[b.old:][:n], data[b.new:][:n]); err != nil {
			return err
		}
		b = block{new: b.new + n, old: b.old + n, length: b.length - n}
		start += int(s.size)
	}
	return nil
}

// equal is the length from which on a run of equal bytes is an op of its own.
const equal = 4096

// same emits a run of new that comes from old bytes.
func (m *run) same(source int, at int64, old, new []byte) error {
	from := 0 // of what is not emitted
	flush := func(to int) error {
		if to == from {
			return nil
		}
		op := Op{Source: source, At: at + int64(from), Length: to - from}
		if op.Data = m.differences(old[from:to], new[from:to]); op.Data != nil {
			op.Old = old[from:to]
		}
		from = to
		return m.emit(op)
	}
	for i := 0; i < len(new); {
		n := common(old[i:], new[i:])
		if n >= equal || n == len(new) {
			if err := flush(i); err != nil {
				return err
			}
			if err := m.emit(Op{Source: source, At: at + int64(i), Length: n}); err != nil {
				return err
			}
			from = i + n
		}
		i += n
		for i < len(new) && old[i] != new[i] {
			i++
		}
	}
	return flush(len(new))
}

// differences gives new minus old, nil when they are equal.
func (m *Matcher) differences(old, new []byte) []byte {
	if common(old, new) == len(new) {
		return nil
	}
	m.diff = m.diff[:0]
	for i := range new {
		m.diff = append(m.diff, new[i]-old[i])
	}
	return m.diff
}
