package wrap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"github.com/strata-oci/strata/rechunk/delta/wrap/deflatetokens"
	"github.com/strata-oci/strata/rechunk/delta/wrap/zstdtokens"
)

// Names of decoders, as they stand in deltas.
const (
	Gzip    = "gzip"    // one member, RFC 1952
	Zstd    = "zstd"    // one frame, RFC 8878
	Xz      = "xz"      // one stream, without padding
	Deflate = "deflate" // RFC 1951, no header: what a member of a zip archive is
	// ZstdTokens undoes only the entropy coding of a zstd frame: not its plain bytes come out, but the tokens of package
	// zstdtokens.
	ZstdTokens = "zstd-tokens"
	// GzipTokens and DeflateTokens do the same for what Gzip and Deflate read, by package deflatetokens.
	GzipTokens    = "gzip-tokens"
	DeflateTokens = "deflate-tokens"
)

// Tokens returns the decoder that undoes only the entropy coding of what decoder reads; "" if there is none. Tokens are made
// into the same bytes again by this package itself, whoever made these, but a delta of them is larger than one of plain
// bytes.
func Tokens(decoder string) string {
	switch decoder {
	case Zstd:
		return ZstdTokens
	case Gzip:
		return GzipTokens
	case Deflate:
		return DeflateTokens
	}
	return ""
}

// isTokens says whether a decoder gives tokens.
func isTokens(decoder string) bool {
	return decoder == ZstdTokens || decoder == GzipTokens || decoder == DeflateTokens
}

// Decoders are the names that Part.Decoder has and Decode takes.
func Decoders() []string {
	return []string{Deflate, DeflateTokens, Gzip, GzipTokens, Xz, Zstd, ZstdTokens}
}

// Decode writes the plain bytes of the one stream that src is, or its tokens. ErrInvalid if src is anything else, such as
// two streams, one that breaks off, or one with something behind it; ErrLimit beyond lim. Errors of src and dst are passed
// on, and ctx is looked at while reading.
func Decode(ctx context.Context, decoder string, src io.Reader, dst io.Writer, lim Limits) error {
	return new(decoders).decode(ctx, decoder, src, dst, lim)
}

// decoders keeps what can be used again from stream to stream. Not safe for concurrent use.
type decoders struct {
	in    *bufio.Reader
	gzip  *gzip.Reader
	flate io.ReadCloser
	zstd  *zstd.Decoder
	xz    *xz.Reader
}

// decode is Decode.
func (d *decoders) decode(ctx context.Context, decoder string, src io.Reader, dst io.Writer, lim Limits) error {
	in := &counter{ended: ctx.Err, r: src}
	out := &bounded{w: dst, in: in, lim: lim}
	if err := d.pass(decoder, in, out, lim); err != nil {
		if out.err != nil {
			return out.err
		}
		return in.blame(decoder, err)
	}
	if _, err := d.in.ReadByte(); err == nil {
		return invalid(decoder, "something follows the stream")
	}
	return in.err
}

// pass writes what the stream that in begins with stands for.
func (d *decoders) pass(decoder string, in io.Reader, out io.Writer, lim Limits) error {
	switch decoder {
	case ZstdTokens:
		return zstdtokens.Decode(d.read(in), out)
	case GzipTokens:
		return deflatetokens.DecodeGzip(d.read(in), out)
	case DeflateTokens:
		return deflatetokens.Decode(d.read(in), out)
	}
	r, err := d.open(decoder, in, lim)
	if err == nil {
		_, err = io.Copy(out, r)
	}
	return err
}

// read makes d.in read in.
func (d *decoders) read(in io.Reader) *bufio.Reader {
	if d.in == nil {
		d.in = bufio.NewReaderSize(in, 32<<10)
	} else {
		d.in.Reset(in)
	}
	return d.in
}

// open returns a reader of the plain bytes of the stream that in begins with. It reads through d.in, which is left behind
// the stream for the decoders that end exactly (gzip, deflate).
func (d *decoders) open(decoder string, in io.Reader, lim Limits) (io.Reader, error) {
	d.read(in)
	switch decoder {
	case Gzip:
		return d.openGzip()
	case Deflate:
		if d.flate == nil {
			d.flate = flate.NewReader(d.in)
			return d.flate, nil
		}
		return d.flate, d.flate.(flate.Resetter).Reset(d.in, nil)
	case Zstd:
		return d.openZstd(lim)
	case Xz:
		return d.openXz(lim)
	}
	return nil, fmt.Errorf("%w: no decoder %.32q", ErrInvalid, decoder)
}

func (d *decoders) openGzip() (io.Reader, error) {
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	if err := d.gzip.Reset(d.in); err != nil {
		return nil, err
	}
	d.gzip.Multistream(false)
	return d.gzip, nil
}

func (d *decoders) openZstd(lim Limits) (io.Reader, error) {
	if d.zstd != nil {
		return d.zstd, d.zstd.Reset(d.in)
	}
	var err error
	d.zstd, err = zstd.NewReader(d.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(max(lim.Window, zstd.MinWindowSize))))
	return d.zstd, err
}

// openXz takes a new reader when the one there is was made for a larger window than is needed.
func (d *decoders) openXz(lim Limits) (io.Reader, error) {
	var err error
	if d.xz != nil {
		err = d.xz.Reset(d.in)
	} else {
		d.xz, err = xz.NewReader(d.in, uint32(min(max(lim.Window, 1), 1<<31)))
	}
	if err != nil {
		d.xz = nil
		return nil, err
	}
	return d.xz, nil
}

// counter counts what is read, keeps the error that reading ended with, and ends when its context has.
type counter struct {
	ended func() error // of the call's context
	r     io.Reader
	n     int64
	err   error // other than io.EOF
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	if err := c.ended(); err != nil {
		c.err = err
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// blame returns the error of reading, if there was one, and else says that the stream is at fault.
func (c *counter) blame(decoder string, err error) error {
	switch {
	case c.err != nil:
		return c.err
	case errors.Is(err, ErrInvalid):
		return err
	case errors.Is(err, xz.ErrMemlimit), errors.Is(err, zstd.ErrWindowSizeExceeded),
		errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: %s: %w", ErrLimit, decoder, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, decoder, err)
}

// bounded passes on at most what lim allows for what was read, and keeps its error.
type bounded struct {
	w   io.Writer
	in  *counter
	lim Limits
	n   int64
	err error
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	b.n += int64(len(p))
	if most := b.lim.most(b.in.n); b.n > most {
		b.err = limited("plain bytes", most)
		return 0, b.err
	}
	n, err := b.w.Write(p)
	b.err = err
	return n, err
}
