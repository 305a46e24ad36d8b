package transport

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/strata-oci/strata/proxy/upstream"
)

// decode undoes a compression that something on the way applied although it was asked not to. Digests are of what was compressed. The
// length of such an answer is not known, and ranges of it mean nothing.
func decode(resp *http.Response) error {
	coding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch {
	case coding == "" || coding == "identity":
		return nil
	case coding != "gzip" && coding != "x-gzip":
		return fmt.Errorf("%w: the answer is encoded as %q", upstream.ErrRefused, upstream.Clean(coding))
	case resp.StatusCode == http.StatusPartialContent:
		return fmt.Errorf("%w: a range of an encoded answer", upstream.ErrRangeIgnored)
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	if resp.Request != nil && resp.Request.Method != http.MethodHead {
		resp.Body = &gunzipped{below: resp.Body}
	}
	return nil
}

// gunzipped is a body that was compressed on its way. Whoever reads it bounds what comes out.
type gunzipped struct {
	below io.ReadCloser
	gzip  *gzip.Reader
}

// Read implements io.Reader.
func (g *gunzipped) Read(p []byte) (n int, err error) {
	if g.gzip == nil {
		if g.gzip, err = gzip.NewReader(g.below); err != nil {
			return 0, encodingError(err)
		}
	}
	n, err = g.gzip.Read(p)
	return n, encodingError(err)
}

// encodingError names what is wrong with the encoding. Other errors of reading stay as they are.
func encodingError(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return fmt.Errorf("%w: content encoding: %w", upstream.ErrVerify, err)
	}
	return err
}

// Close implements io.Closer.
func (g *gunzipped) Close() error { return g.below.Close() }
