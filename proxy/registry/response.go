package registry

import (
	"io"
	"net/http"
	"runtime"
)

// response is a ResponseWriter that remembers what was sent. It keeps the way to the io.ReaderFrom below open, which is what lets
// the kernel send a file without copying it through the process.
type response struct {
	http.ResponseWriter
	status int   // of the answer; 0 before its headers were sent
	bytes  int64 // of the body
	err    error // the first that a write met
}

var _ io.ReaderFrom = (*response)(nil)

// WriteHeader passes the status on and remembers it, unless it is an informational one.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
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
		n, err = inTurns(below, src)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
	}
	w.wrote(n, err)
	return n, err
}

// turn is how much of a file the kernel gets to send at once, in bytes. By itself it sends as long as the client keeps up, on a
// thread that other requests wait for: with turns, a manifest beside 64 fast downloads takes a tenth of the time.
const turn = 1 << 20

// inTurns copies src and lets other goroutines run now and then. Each part is a limited reader of what src limits, as the
// ReadFrom below knows it.
func inTurns(below io.ReaderFrom, src io.Reader) (int64, error) {
	all, ok := src.(*io.LimitedReader)
	if !ok {
		return below.ReadFrom(src)
	}
	var total int64
	for all.N > 0 {
		part := &io.LimitedReader{R: all.R, N: min(all.N, turn)}
		n, err := below.ReadFrom(part)
		total += n
		all.N -= n
		if err != nil || part.N > 0 {
			return total, err
		}
		runtime.Gosched()
	}
	return total, nil
}

// Unwrap gives http.ResponseController the writer below.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) wrote(n int64, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.bytes += n
	if w.err == nil {
		w.err = err
	}
}
