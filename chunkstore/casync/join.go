package casync

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// Part is a part of a stream: bytes, or a stream that was cut by itself before.
type Part struct {
	Bytes []byte
	// Chunks are those that the part was cut into, in order; then Bytes is nil.
	Chunks []Chunk
	// Open reads the part from one of its chunks on, to its end.
	Open func(chunk int) (io.ReadCloser, error)
}

// Joined is told of the chunks of a joined stream, in order. Its errors end the work and are returned as they are.
type Joined struct {
	// Own has the bytes of a chunk that none of the parts has; they are valid until it returns.
	Own func(content []byte) error
	// Kept are the chunks from up to but not including to of a part.
	Kept func(part, from, to int) error
}

// Join finds the chunks of a stream that consists of parts: exactly those that Cut finds in it, but without reading all
// of it. Where to cut depends on the bytes since the last cut alone, so that, from the first cut on that falls together with
// one of a part that was cut by itself, the chunks of both are the same, up to the last one of the part.
func Join(parts []Part, s Sizes, to Joined) error {
	j := &joining{parts: parts, ends: make([][]int64, len(parts))}
	for i := range parts {
		var end int64
		for _, c := range parts[i].Chunks {
			end += int64(c.Size)
			j.ends[i] = append(j.ends[i], end)
		}
	}
	at := place{}
	for {
		next, found, err := j.run(at, s, to.Own)
		if err != nil || !found {
			return err
		}
		last := len(parts[next.part].Chunks) - 1
		if err := to.Kept(next.part, next.chunk, last); err != nil {
			return err
		}
		at = place{next.part, last}
	}
}

// place is a chunk of a part; of bytes, the first.
type place struct{ part, chunk int }

type joining struct {
	parts []Part
	ends  [][]int64 // where the chunks of each end in it
}

var errMet = errors.New("the cuts met")

// run cuts the stream from a place on until a cut falls together with one of a part, and returns the chunk that comes then.
func (j *joining) run(at place, s Sizes, own func([]byte) error) (next place, found bool, err error) {
	r := &joinedReader{parts: j.parts, at: at}
	defer func() { err = errors.Join(err, r.close()) }()
	// where a part begins in what is read here
	part, begin := at.part, int64(0)
	if at.chunk > 0 {
		begin = -j.ends[part][at.chunk-1]
	}
	var pos int64
	err = Cut(r, s, func(content []byte) error {
		if err := own(content); err != nil {
			return err
		}
		pos += int64(len(content))
		for part < len(j.parts) && pos > begin+j.length(part) {
			begin += j.length(part)
			part++
		}
		for p, b := part, begin; p < len(j.parts) && b <= pos; p++ {
			if c, ok := j.cutAt(p, pos-b); ok {
				next = place{p, c}
				return errMet
			}
			b += j.length(p)
		}
		return nil
	})
	if errors.Is(err, errMet) {
		return next, true, nil
	}
	return place{}, false, err
}

func (j *joining) length(part int) int64 {
	if e := j.ends[part]; len(e) > 0 {
		return e[len(e)-1]
	}
	return int64(len(j.parts[part].Bytes))
}

// cutAt returns which chunk of a part begins at an offset, if one does and it is not the last: that one ended with the part.
func (j *joining) cutAt(part int, offset int64) (chunk int, ok bool) {
	ends := j.ends[part]
	if len(ends) < 2 {
		return 0, false
	}
	if offset == 0 {
		return 0, true
	}
	i := sort.Search(len(ends), func(i int) bool { return ends[i] >= offset })
	return i + 1, i < len(ends)-2 && ends[i] == offset
}

// joinedReader reads parts one after another.
type joinedReader struct {
	parts []Part
	at    place
	open  io.ReadCloser
	used  int // of a part's bytes
}

// Read implements io.Reader.
func (r *joinedReader) Read(p []byte) (int, error) {
	for r.at.part < len(r.parts) {
		part := &r.parts[r.at.part]
		if len(part.Chunks) == 0 {
			if n := copy(p, part.Bytes[r.used:]); n > 0 {
				r.used += n
				return n, nil
			}
		} else {
			n, err := r.chunks(p, part)
			if n > 0 || err != nil {
				return n, err
			}
		}
		r.at, r.used = place{part: r.at.part + 1}, 0
	}
	return 0, io.EOF
}

// chunks reads a part that was cut; nothing and no error at its end.
func (r *joinedReader) chunks(p []byte, part *Part) (int, error) {
	if r.open == nil {
		var err error
		if r.open, err = part.Open(r.at.chunk); err != nil {
			return 0, fmt.Errorf("part %d from chunk %d on: %w", r.at.part, r.at.chunk, err)
		}
	}
	n, err := r.open.Read(p)
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = r.close()
		}
	}
	if n == 0 && err == nil && r.open != nil {
		return r.chunks(p, part)
	}
	return n, err
}

func (r *joinedReader) close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}
