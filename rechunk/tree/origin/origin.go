// Package origin tells a stream that is damaged from a source that broke while the stream was decoded: a decoder may wrap or
// swallow the source's error, or take it for damage.
package origin

import "io"

// Reader reads from a source and remembers why it broke. It is for one goroutine.
type Reader struct {
	r   io.Reader
	err error
}

// New returns a reader of r.
func New(r io.Reader) *Reader { return &Reader{r: r} }

// Read implements io.Reader.
func (o *Reader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && err != io.EOF && o.err == nil {
		o.err = err
	}
	return n, err
}

// Err returns the first error of the source other than io.EOF, as it was; nil when there was none.
func (o *Reader) Err() error { return o.err }
