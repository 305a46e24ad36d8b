package wrap

import (
	"context"
	"errors"
	"io"
)

// Parse finds what is wrapped in c: by its content, whatever its name is.
//
// It knows gzip members, zstd frames and xz streams, alone or one after another, with padding between them; cpio archives
// (newc and crc), tar and zip archives and their members; an initramfs, which is a chain of all these; and the payload of a
// kernel image. What is wrapped in what is found is looked for, too. Streams of bzip2, lz4 and lzma are left as they are.
//
// Structure is read, not proven: that a part can be decoded is known when it was. What is damaged, unknown, or over lim is
// no part, and no error either; errors are those of ctx, of reading c, and of scratch, which holds what is larger than a MiB
// and has parts inside; with nil, that is not looked into.
func Parse(ctx context.Context, c Content, lim Limits, scratch Scratch) ([]Part, error) {
	p := &parser{ended: ctx.Err, lim: lim, scratch: scratch}
	return p.content(c, 0)
}

// parser is one run of Parse.
type parser struct {
	ended    func() error // of the call's context
	lim      Limits
	scratch  Scratch
	parts    int
	plain    int64
	decoders decoders
}

// content parses a content from its start.
func (p *parser) content(c Content, depth int) ([]Part, error) {
	s := newSource(c)
	parts, err := p.chain(s, depth)
	if err == nil {
		err = s.err
	}
	return parts, err
}

// full says whether no more parts may be found.
func (p *parser) full() bool { return p.parts >= p.lim.Parts }

// promising says whether bytes that start like this may hold parts.
func promising(start []byte) bool {
	return streamOf(start) != "" || isCpio(start) || isTar(start) || isZip(start) || isKernel(start)
}

// chain finds the parts of a run of bytes: archives and streams one after another, with zeros between them.
func (p *parser) chain(s source, depth int) ([]Part, error) {
	if depth >= p.lim.Depth {
		return nil, nil
	}
	start := s.most(0, peek)
	switch {
	case isZip(start):
		return p.zip(s, depth)
	case isKernel(start):
		return p.kernel(s, depth)
	}
	var parts []Part
	for off := int64(0); off < s.size && !p.full(); {
		if err := p.ended(); err != nil {
			return nil, err
		}
		found, next, err := p.link(s, off, depth)
		if err != nil {
			return nil, err
		}
		parts = append(parts, found...)
		if next <= off {
			break
		}
		off = s.zeros(next)
	}
	return parts, nil
}

// link finds the parts of the chain's link at off, and where it ends: at off, if there is none.
func (p *parser) link(s source, off int64, depth int) ([]Part, int64, error) {
	start := s.most(off, peek)
	switch decoder := streamOf(start); {
	case isSkippable(start):
		return nil, skippable(s, off), nil
	case decoder != "":
		part, err := p.stream(s, off, decoder, depth)
		if err != nil || part.Length == 0 {
			return nil, off, err
		}
		p.parts++
		return []Part{part}, off + part.Length, nil
	case isCpio(start):
		return p.cpio(s, off, depth)
	case isTar(start):
		return p.tar(s, off, depth)
	}
	return nil, off, nil
}

// member makes a part of an archive's member: n bytes at off, which the source has.
func (p *parser) member(s source, off, n int64, name string, depth int) (Part, error) {
	p.parts++
	inner := s.sub(off, n)
	part := Part{Offset: off, Length: n, Size: n, Name: name}
	if !promising(inner.most(0, peek)) {
		return part, nil
	}
	var err error
	part.Parts, err = p.chain(inner, depth+1)
	return part, err
}

// peek is how much of a stream's plain bytes is looked at before it is decoded for what may be in it.
const peek = 1 << 10

// stream makes a part of the stream at off. Its Length is 0 if it is none.
func (p *parser) stream(s source, off int64, decoder string, depth int) (Part, error) {
	length, size := measure(s, off, decoder)
	if length == 0 || s.err != nil {
		return Part{}, s.err
	}
	in := &counter{ended: p.ended, r: s.section(off, length)}
	r, err := p.decoders.open(decoder, in, p.lim)
	if err != nil {
		return Part{}, in.err
	}
	start := make([]byte, peek)
	n, err := io.ReadFull(r, start)
	start = start[:n]
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Part{}, in.err
	}
	looked := promising(start) && depth+1 < p.lim.Depth
	if size >= 0 && !looked {
		if size > p.lim.most(length) {
			return Part{}, nil
		}
		return Part{Offset: off, Length: length, Decoder: decoder, Size: size}, nil
	}
	part := Part{Offset: off, Decoder: decoder}
	plain := &held{}
	if looked {
		plain.scratch = p.scratch
	} else {
		plain.dropped = true
	}
	defer plain.Close() //nolint:errcheck // what is lost with it is a temporary file
	if err := p.decoded(&part, in, start, r, plain); err != nil || part.Length == 0 {
		return Part{}, err
	}
	if decoder != Gzip {
		part.Length = length
	}
	if looked && !plain.dropped {
		part.Parts, err = p.content(plain, depth+1)
		return part, err
	}
	return part, nil
}

// decoded reads a stream to its end, and tells part what it was. Errors are those of reading and of scratch.
func (p *parser) decoded(part *Part, in *counter, start []byte, r io.Reader, plain *held) error {
	lim := p.lim
	lim.Plain -= p.plain
	out := &bounded{w: plain, in: in, lim: lim}
	_, err := out.Write(start)
	if err == nil {
		_, err = io.Copy(out, r)
	}
	p.plain += out.n
	switch {
	case in.err != nil:
		return in.err
	case errors.Is(out.err, ErrLimit):
		return nil
	case out.err != nil:
		return out.err
	case err != nil:
		return nil
	}
	part.Length, part.Size = in.n-int64(p.decoders.in.Buffered()), out.n
	return nil
}
