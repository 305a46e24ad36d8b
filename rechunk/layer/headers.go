package layer

import (
	"archive/tar"
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/rescue"
)

// Of a layer, a table of contents and tar-split's data are in memory until its end. These bound what a stream can take of
// it: entries, and bytes of headers. Clients read no table that is much longer.
const (
	maxTold      = 500_000
	maxToldBytes = 512 << 20
)

var errManyHeaders = errors.New("the tar stream has more headers than a table of contents is made of")

// headers reads along in a tar stream and fails when it has too many. It works in a goroutine that Close ends.
type headers struct {
	w    *io.PipeWriter
	done chan struct{}
}

func newHeaders() *headers {
	r, w := io.Pipe()
	h := &headers{w: w, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		err := rescue.Call(func() error { return countHeaders(r) })
		_ = r.CloseWithError(err) // never fails
	}()
	return h
}

// Write implements io.Writer. It returns when the bytes have been looked at.
func (h *headers) Write(p []byte) (int, error) { return h.w.Write(p) }

// Close implements io.Closer.
func (h *headers) Close() error {
	err := h.w.Close()
	<-h.done
	return err
}

// countHeaders reads a tar stream, whose single headers archive/tar bounds.
func countHeaders(r io.Reader) error {
	stream := tar.NewReader(r)
	bytes := 0
	for n := 0; n <= maxTold && bytes <= maxToldBytes; n++ {
		h, err := stream.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r) // padding
			return err
		}
		if err != nil {
			return err
		}
		bytes += 3*blockSize + len(h.Name) + len(h.Linkname)
		for name, value := range h.PAXRecords {
			bytes += len(name) + len(value)
		}
	}
	return errManyHeaders
}
