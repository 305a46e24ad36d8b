package residual

import "errors"

// ErrInvalid says that a piece holds less or more than what was asked of it.
var ErrInvalid = errors.New("invalid differences")

// MaxRun is the number of differences that are coded with one call, at most.
const MaxRun = 256 << 10

// Encoder writes pieces. What was written before makes what follows smaller. It is for one goroutine.
type Encoder struct {
	m         *model
	low, high uint32
	out       []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder { return &Encoder{m: newModel(), high: 1<<32 - 1} }

// Add codes differences to old bytes, as many as there are of these, MaxRun at most.
func (e *Encoder) Add(old, diff []byte) {
	w := window{}
	blocks := uint32(0)
	for at := 0; at < len(diff); at += blockSize {
		end := min(at+blockSize, len(diff))
		some := uint32(0)
		for _, d := range diff[at:end] {
			if d != 0 {
				some = 1
			}
		}
		slot := &e.m.blocks[blocks&7]
		e.bit(some, clamp(*slot>>16))
		e.m.update(slot, some)
		blocks = blocks<<1 | some
		if some == 0 {
			w.skip(old[at:end])
			continue
		}
		for i := at; i < end; i++ {
			w.ahead(old, i)
			e.one(&w, diff[i])
			w.next(old[i], diff[i])
		}
	}
}

// skip moves the window behind old bytes that have no differences.
func (w *window) skip(old []byte) {
	for _, o := range old {
		w.next(o, 0)
	}
}

// one codes one difference.
func (e *Encoder) one(w *window, d byte) {
	e.m.zero(w)
	some := uint32(0)
	if d != 0 {
		some = 1
	}
	e.bit(some, e.m.mix(w.hist&15))
	e.m.learn(some)
	if some == 0 {
		return
	}
	w.value()
	for node := uint32(1); node < 256; {
		e.m.bit(w, node)
		bit := uint32(d>>7) & 1
		d <<= 1
		e.bit(bit, e.m.mix(16+node))
		e.m.learn(bit)
		node = node<<1 | bit
	}
}

// clamp keeps a probability, of 65536, from being certain.
func clamp(p uint32) uint32 { return min(max(p, 16), 65536-16) }

// bit codes a bit that is 1 with a probability, of 65536.
func (e *Encoder) bit(bit, p uint32) {
	mid := e.low + uint32(uint64(e.high-e.low)*uint64(p)>>16)
	if bit == 1 {
		e.high = mid
	} else {
		e.low = mid + 1
	}
	for (e.low^e.high)>>24 == 0 {
		e.out = append(e.out, byte(e.high>>24))
		e.low <<= 8
		e.high = e.high<<8 | 255
	}
}

// Flush ends a piece and returns it. It is valid until the next call.
func (e *Encoder) Flush() []byte {
	out := append(e.out, byte(e.low>>24), byte(e.low>>16), byte(e.low>>8), byte(e.low))
	e.out, e.low, e.high = out[:0], 0, 1<<32-1
	return out
}

// Decoder reads pieces, in the order in which they were written. It is for one goroutine.
type Decoder struct {
	m               *model
	low, high, code uint32
	in              []byte
	short           bool // more was asked for than there is
}

// NewDecoder makes a decoder.
func NewDecoder() *Decoder { return &Decoder{m: newModel()} }

// Begin begins a piece, which must stay as it is until End.
func (d *Decoder) Begin(piece []byte) {
	d.in, d.low, d.high, d.code, d.short = piece, 0, 1<<32-1, 0, false
	for range 4 {
		d.code = d.code<<8 | d.byte()
	}
}

// byte takes the next byte of the piece.
func (d *Decoder) byte() uint32 {
	if len(d.in) == 0 {
		d.short = true
		return 0
	}
	b := d.in[0]
	d.in = d.in[1:]
	return uint32(b)
}

// End reports with ErrInvalid when the piece was not used up.
func (d *Decoder) End() error {
	if d.short || len(d.in) > 0 {
		return ErrInvalid
	}
	return nil
}

// Add adds to old bytes, as many as Encoder.Add was given, the differences.
func (d *Decoder) Add(old []byte) error {
	w := window{}
	blocks := uint32(0)
	for at := 0; at < len(old); at += blockSize {
		end := min(at+blockSize, len(old))
		slot := &d.m.blocks[blocks&7]
		some := d.bit(clamp(*slot >> 16))
		d.m.update(slot, some)
		blocks = blocks<<1 | some
		if some == 0 {
			w.skip(old[at:end])
			continue
		}
		for i := at; i < end; i++ {
			w.ahead(old, i)
			diff := d.one(&w)
			w.next(old[i], diff)
			old[i] += diff
		}
		if d.short {
			return ErrInvalid
		}
	}
	return nil
}

// one decodes one difference.
func (d *Decoder) one(w *window) byte {
	d.m.zero(w)
	some := d.bit(d.m.mix(w.hist & 15))
	d.m.learn(some)
	if some == 0 {
		return 0
	}
	w.value()
	node := uint32(1)
	for node < 256 {
		d.m.bit(w, node)
		bit := d.bit(d.m.mix(16 + node))
		d.m.learn(bit)
		node = node<<1 | bit
	}
	return byte(node)
}

// bit decodes a bit.
func (d *Decoder) bit(p uint32) uint32 {
	mid := d.low + uint32(uint64(d.high-d.low)*uint64(p)>>16)
	bit := uint32(0)
	if d.code <= mid {
		bit = 1
		d.high = mid
	} else {
		d.low = mid + 1
	}
	for (d.low^d.high)>>24 == 0 {
		d.low <<= 8
		d.high = d.high<<8 | 255
		d.code = d.code<<8 | d.byte()
	}
	return bit
}
