package demo

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/rand/v2"
)

// texture is what a file's bytes look like to a compressor.
type texture uint8

const (
	program texture = iota // machine code: about 0.4 of its size when compressed
	text                   // configuration, documentation, scripts: about 0.25
	packed                 // compressed already: 1.0
)

// blockSize is how much content is made at a time.
const blockSize = 32 << 10

// content is a file's bytes, made while they are read. The same stamp, texture and size give the same bytes everywhere.
type content struct {
	texture texture
	rng     *rand.Rand
	left    int64
	block   []byte
	unread  []byte
}

// newContent makes size bytes of a texture; stamp tells them from all others.
func newContent(t texture, stamp string, size int64) io.Reader {
	h := fnv.New64a()
	_, _ = io.WriteString(h, stamp)
	return &content{texture: t, rng: rand.New(rand.NewPCG(h.Sum64(), uint64(t))), left: size}
}

func (c *content) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.fill()
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *content) fill() {
	if c.block == nil {
		c.block = make([]byte, 0, min(c.left, blockSize)+64)
	}
	b := c.block[:0]
	want := min(c.left, blockSize)
	for int64(len(b)) < want {
		switch c.texture {
		case program:
			b = c.instruction(b)
		case text:
			b = c.word(b)
		default:
			b = binary.LittleEndian.AppendUint64(b, c.rng.Uint64())
		}
	}
	c.block = b
	c.unread = b[:want]
	c.left -= want
}

// instruction appends one of: bytes seen a little before, as loops and tables have them; an opcode of few; an operand of
// many.
func (c *content) instruction(b []byte) []byte {
	r := c.rng.Uint64()
	switch kind := r & 15; {
	case kind < 5 && len(b) > 256:
		from := len(b) - 16 - int(r>>8%240)
		return append(b, b[from:from+6+int(r>>32&7)]...)
	case kind < 12:
		return append(b, opcodes[r>>16&63], opcodes[r>>24&31])
	default:
		return binary.LittleEndian.AppendUint16(b, uint16(r>>40))
	}
}

// opcodes are bytes that machine code is full of.
const opcodes = "\x48\x89\x8b\x00\xe8\x0f\x85\xc0\x74\x24\x4c\x8d\x83\xff\x45\x31" +
	"\x41\x5d\x5b\xc3\x66\x90\x10\x08\x20\x01\xeb\x75\x84\x40\x44\xf6" +
	"\x55\x53\x57\x56\x49\x4d\x63\x50\x18\x28\x30\x38\xc7\xb8\xbe\xbf\x3b\x39\x72\x77\x7e\x7f\x0b\xd2\xdb\xed\xf3\xe9\x5c\x5e\xc1\xd1"

// word appends a word of made-up prose, and now and then the end of a line.
func (c *content) word(b []byte) []byte {
	r := c.rng.Uint64()
	// The product of two even draws prefers few words, as people do.
	rank := (r & 255) * (r >> 8 & 255) >> 8
	for x := rank*2654435761 + 97; ; x >>= 5 {
		b = append(b, syllables[x&31*2], syllables[x&31*2+1])
		if x>>5&3 == 0 || x < 32 {
			break
		}
	}
	if r>>60 == 0 {
		return append(b, '\n')
	}
	return append(b, ' ')
}

const syllables = "taronesitulamidekosarivenopemalubashitoregadikunofalerowichenday "

// coin is an even draw from 0 to 1 that depends on the stamp alone.
func coin(stamp string) float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, stamp)
	return rand.New(rand.NewPCG(h.Sum64(), 0)).Float64()
}
