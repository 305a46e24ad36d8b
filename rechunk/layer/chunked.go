package layer

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
	"unicode/utf8"

	chunked "go.podman.io/storage/pkg/chunked/compressor"

	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// chunkedVersion is all that the bytes of Chunked depend on: the writer, the encoder of its frames, and what tells the
	// tar headers. go.mod has the same versions.
	chunkedVersion = "v1.64.0+compress-" + libraryVersion + "+tar-split-v0.12.3"
	// chunkedLevel is klauspost's "better", as for Zstd; "best" takes ten times as long for frames of this size.
	chunkedLevel = 7
)

// chunkedEncoder identifies what makes the bytes of Chunked.
func chunkedEncoder() Encoder {
	return Encoder{Library: "podman/storage", Version: chunkedVersion, Settings: "zstd:chunked level=7"}
}

// chunker is the compressor of Chunked. The library's writer works in goroutines that only its Close ends.
type chunker struct {
	w     io.WriteCloser
	read  *headers // reads along
	out   *valve
	notes map[string]string
	err   error
}

// Reset implements compressor.
func (c *chunker) Reset(w io.Writer) {
	if c.w != nil { // what was begun must not get an end
		c.out.shut.Store(true)
		_ = c.Close()
	}
	level := chunkedLevel
	c.out, c.notes = &valve{w: w}, map[string]string{}
	c.w, c.err = chunked.ZstdCompressor(c.out, c.notes, &level)
	c.read = newHeaders()
}

// Write implements io.Writer.
func (c *chunker) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.read.Write(p)
	if err == nil {
		n, err = c.w.Write(p)
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil && c.err == nil {
		c.err = err // Close would not say it again
	}
	return n, err
}

// Close implements io.Closer.
func (c *chunker) Close() error {
	if c.w == nil {
		return c.err
	}
	err := errors.Join(c.read.Close(), c.w.Close())
	c.w, c.read = nil, nil
	if c.err != nil {
		return c.err
	}
	return err
}

var errShut = errors.New("the layer is not finished")

// valve is a writer that can be shut.
type valve struct {
	w    io.Writer
	shut atomic.Bool
}

func (v *valve) Write(p []byte) (int, error) {
	if v.shut.Load() {
		return 0, errShut
	}
	return v.w.Write(p)
}

// notes are the annotations of the blob that a compressor has made. A table that clients refuse to read for its length is
// not told of.
func notes(z compressor) map[string]string {
	c, ok := z.(*chunker)
	if !ok {
		return nil
	}
	if p, err := toc.Find(c.notes); err != nil || p.TooLong() {
		return nil
	}
	return c.notes
}

// tellable reports whether a table of contents can tell what a layer holds. It is JSON, whose strings are UTF-8 and whose
// times are those of RFC 3339, and it has a bound. Devices and FIFOs it could tell, but podman (5.4) makes none of them of a
// layer that it fetches in part.
func tellable(l *List) bool {
	bytes := 0
	if l.len() > maxTold {
		return false
	}
	for _, list := range [][]*tree.Entry{l.entries, l.last} {
		for _, e := range list {
			if e.Kind == tree.Char || e.Kind == tree.Block || e.Kind == tree.Fifo {
				return false
			}
			year := time.Unix(e.Sec, 0).UTC().Year()
			if year < 1 || year > 9998 || !utf8.ValidString(e.Path) || !utf8.ValidString(e.Target) {
				return false
			}
			for _, x := range e.Xattrs {
				if !utf8.ValidString(x.Name) {
					return false
				}
				bytes += len(x.Name) + len(x.Value)
			}
			bytes += 3*blockSize + len(e.Path) + len(e.Target)
		}
	}
	for _, m := range l.marks {
		if !utf8.ValidString(m) {
			return false
		}
	}
	return bytes <= maxToldBytes
}
