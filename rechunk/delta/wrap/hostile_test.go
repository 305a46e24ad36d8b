package wrap_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// told is a header of a tar archive for a member that is said to have so many bytes.
func told(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: size, Typeflag: tar.TypeReg,
		Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Sizes in archives that nothing has end in parts that lie in what they are in.
func TestSizesThatNothingHas(t *testing.T) {
	t.Parallel()
	page := gzipped(t, file(t, "plain"))
	for _, size := range []int64{1 << 20, 1 << 32, 1 << 62, math.MaxInt64 - 1024, math.MaxInt64 - 511, math.MaxInt64} {
		huge := append(told(t, size), page...)
		good := tarball(t, member{"a.gz", page})
		for name, content := range map[string][]byte{
			"tar": huge, "second in a tar": append(bytes.Clone(good[:len(good)-1024]), huge...),
			"tar in gzip": gzipped(t, huge), "tar in cpio": cpio(member{"b", huge}, member{"c.gz", page}),
			"tar in zip": zipped(t, zip.Store, member{"b", huge}, member{"c.gz", page}),
		} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				t.Parallel()
				check(t, content, parse(t, content, wrap.DefaultLimits()))
			})
		}
	}
	for _, c := range []struct{ off, length uint32 }{
		{0, 0}, {math.MaxUint32, math.MaxUint32}, {4096, math.MaxUint32}, {math.MaxUint32, 100}, {4096, 3}, {4090, 100},
	} {
		boot, efi := bzImage(page), zboot(page)
		binary.LittleEndian.PutUint32(boot[0x248:], c.off)
		binary.LittleEndian.PutUint32(boot[0x24c:], c.length)
		binary.LittleEndian.PutUint32(efi[8:], c.off)
		binary.LittleEndian.PutUint32(efi[12:], c.length)
		for _, content := range [][]byte{boot, efi, boot[:0x250], efi[:0x40], boot[:0x24f], efi[:0x3f]} {
			check(t, content, parse(t, content, wrap.DefaultLimits()))
		}
	}
}

// counted counts what is read.
type counted struct {
	*bytes.Reader
	n atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

// Members of a zip archive that overlap are looked into once.
func TestMembersThatOverlap(t *testing.T) {
	t.Parallel()
	one := zipped(t, zip.Store, member{"a", gzipped(t, []byte(strings.Repeat(string(file(t, "plain")), 100)))})
	end := one[len(one)-22:]
	at := binary.LittleEndian.Uint32(end[16:])
	local, entry := one[:at], one[at:len(one)-22]
	const times = 2000
	content := append(bytes.Clone(local), bytes.Repeat(entry, times)...)
	end = bytes.Clone(end)
	binary.LittleEndian.PutUint16(end[8:], times)
	binary.LittleEndian.PutUint16(end[10:], times)
	binary.LittleEndian.PutUint32(end[12:], uint32(times*len(entry))) //nolint:gosec // short
	content = append(content, end...)
	c := &counted{Reader: bytes.NewReader(content)}
	parts, err := wrap.Parse(t.Context(), c, wrap.DefaultLimits(), memory{})
	if err != nil || check(t, content, parts) != 2 {
		t.Errorf("%s%v", show(parts, ""), err)
	}
	if most := int64(20*len(content) + times*200); c.n.Load() > most {
		t.Errorf("%d bytes were read of %d", c.n.Load(), len(content))
	}
}

// A part's decoder that panics ends the trial with an error, and an encoder that does leaves nothing behind.
func TestTrialsThatPanic(t *testing.T) {
	t.Parallel()
	page := gzipped(t, file(t, "plain"))
	copy(page[4:], "\x00\x00\x00\x00\x00\x03")
	for name, c := range map[string]struct {
		from     wrap.Content
		encoders wrap.Encoders
	}{
		"decoder": {&panics{Reader: bytes.NewReader(page)}, &programs{version: "1.13"}},
		"encoder": {bytes.NewReader(page), mistaken{}},
	} {
		part := wrap.Part{Length: int64(len(page)), Decoder: wrap.Gzip, Size: 9000}
		err := rescue.Call(func() error {
			return wrap.NewTrier(c.encoders, nil, wrap.DefaultLimits()).Try(t.Context(), c.from, &part)
		})
		var panicked *rescue.PanicError
		if !errors.As(err, &panicked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// panics is a content that panics when it is read again: by the decoder, after the header was looked at.
type panics struct {
	*bytes.Reader
	n atomic.Int32
}

func (p *panics) ReadAt(b []byte, off int64) (int, error) {
	if p.n.Add(1) > 1 {
		panic("mistake")
	}
	return p.Reader.ReadAt(b, off)
}

// mistaken are encoders that panic.
type mistaken struct{}

func (mistaken) Available() []wrap.Program { return []wrap.Program{{Name: "gzip", Version: "1.13"}} }

func (mistaken) Encode(_ context.Context, _ wrap.Encoder, plain io.Reader, _ io.Writer) error {
	_, _ = plain.Read(make([]byte, 1))
	panic("mistake")
}
