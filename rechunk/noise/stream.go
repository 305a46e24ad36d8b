package noise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// decoderAt tells by its name how a file is compressed; "" if it is not, or in a way that is not judged.
func decoderAt(p string) string {
	switch path.Ext(p) {
	case ".gz", ".tgz", ".svgz":
		return wrap.Gzip
	case ".xz", ".txz":
		return wrap.Xz
	case ".zst", ".zstd", ".tzst":
		return wrap.Zstd
	}
	return ""
}

// streams finds the compressed streams of a content, as far as they are not wrapped in others.
func (j *Judge) streams(ctx context.Context, c Content) ([]wrap.Part, error) {
	lim := wrap.DefaultLimits()
	lim.Depth, lim.Parts, lim.Plain = 1, 2*j.lim.Members, j.left
	parts, err := wrap.Parse(ctx, c, lim, nil)
	if err != nil {
		return nil, err
	}
	var out []wrap.Part
	for _, p := range parts {
		if p.Decoder != "" {
			out = append(out, p)
		}
	}
	return out, nil
}

// decode gives the plain bytes of a stream to use, and reads them to their end. The error is the decoder's, or else use's.
func (j *Judge) decode(ctx context.Context, c Content, s wrap.Part, use func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	lim := wrap.DefaultLimits()
	lim.Plain = j.left
	decoded := make(chan error, 1)
	var n counter
	go func() {
		err := rescue.Call(func() error {
			return wrap.Decode(ctx, s.Decoder, io.NewSectionReader(c, s.Offset, s.Length), io.MultiWriter(w, &n), lim)
		})
		w.CloseWithError(err) // nil: io.EOF
		decoded <- err
	}()
	used := use(r)
	r.CloseWithError(errStopped)
	err := <-decoded
	if spent := j.spend(int64(n)); spent != nil {
		return spent
	}
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	return used
}

// errStopped ends a decoder whose bytes nobody wants any more.
var errStopped = errors.New("stopped")

// counter counts bytes.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// trait says what readers of a stream may see of it besides its plain bytes, or what keeps some from reading it: the name in
// a gzip header, the check of an xz stream, a large window of a zstd frame.
func trait(c Content, s wrap.Part) ([]byte, error) {
	head := make([]byte, min(s.Length, maxStreamHeader))
	if n, err := c.ReadAt(head, s.Offset); n < len(head) {
		return nil, err
	}
	if len(head) < leastStream {
		return nil, unjudged("a stream of %d bytes", len(head))
	}
	switch s.Decoder {
	case wrap.Gzip:
		return gzipNames(head)
	case wrap.Xz:
		return head[6:8], nil // stream flags
	case wrap.Zstd:
		var h zstd.Header
		if err := h.Decode(head); err != nil || h.Skippable || h.DictionaryID != 0 {
			return nil, unjudged("a zstd frame that needs more than itself")
		}
		const usual = 8 << 20 // what every decoder takes, RFC 8878
		return fmt.Appendf(nil, "%t %t", h.HasCheckSum, h.WindowSize > usual), nil
	}
	return nil, unjudged("no trait of %s is known", s.Decoder)
}

const (
	// leastStream is less than any stream has, in bytes.
	leastStream = 8
	// maxStreamHeader bounds what is looked at of a stream's header.
	maxStreamHeader = 4 << 10
)

// gzipNames returns name and comment of a gzip member's header (RFC 1952), which gunzip -N goes by. A member with an extra
// field is left: those of dictzip and BGZF have places in the compressed bytes, which other files quote.
func gzipNames(head []byte) ([]byte, error) {
	const fixed, extra, name, comment = 10, 4, 8, 16
	if len(head) < fixed || head[3]&extra != 0 {
		return nil, unjudged("a gzip member with an extra field")
	}
	rest := head[fixed:]
	for _, flag := range []byte{name, comment} {
		if head[3]&flag == 0 {
			continue
		}
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return nil, unjudged("a gzip member with a name of more than %d bytes", maxStreamHeader)
		}
		rest = rest[end+1:]
	}
	return append([]byte{head[3] & (name | comment)}, head[fixed:len(head)-len(rest)]...), nil
}
