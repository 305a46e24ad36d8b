package registry

import (
	"io"
	"net/http"
	"sync/atomic"
)

// response is a ResponseWriter that remembers what was sent. It keeps the way to the io.ReaderFrom below open, which is what
// lets the kernel send a file without copying it through the process.
type response struct {
	http.ResponseWriter
	status int         // of the answer; 0 before its headers were sent
	bytes  int64       // of the body
	err    error       // the first that a write met
	begun  atomic.Bool // its headers were sent; for other goroutines
	// private content is not for everybody.
	private bool
}

var _ io.ReaderFrom = (*response)(nil)

// WriteHeader passes the status on and remembers it, unless it is an informational one.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		w.begun.Store(true)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes to the body.
func (w *response) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.wrote(int64(n), err)
	return n, err
}

// ReadFrom copies src into the body, through the ReadFrom below if there is one.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	var n int64
	var err error
	if below, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = below.ReadFrom(src)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
	}
	w.wrote(n, err)
	return n, err
}

// Unwrap gives http.ResponseController the writer below.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) wrote(n int64, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
		w.begun.Store(true)
	}
	w.bytes += n
	if w.err == nil {
		w.err = err
	}
}
