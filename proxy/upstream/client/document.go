package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// document is a small answer, read whole.
type document struct {
	header http.Header
	body   []byte
}

// get makes one attempt to fetch a document of at most limit bytes. Any status but 200 is an *upstream.Error. right
// reports whether bytes are what was asked for, as far as that can be told: see plain.
func (s *session) get(
	ctx context.Context, r transport.Request, limit int64, right func(http.Header, []byte) bool,
) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.host.Timeout()) // a body that trickles is as good as none
	defer cancel()
	r.Method = http.MethodGet
	resp, err := s.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, upstream.StatusError(resp.Response, s.client.options.Now())
	}
	defer resp.Body.Close()
	data, err := readBounded(resp.Body, limit)
	if err != nil {
		return nil, err
	}
	if !right(resp.Header, data) {
		if data, err = plain(resp.Header, data, limit); err != nil {
			return nil, err
		}
	}
	return &document{header: resp.Header, body: data}, nil
}

// readBounded reads at most limit bytes; more are an error that wraps upstream.ErrTooLarge.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(limit, "bytes")
	}
	return data, nil
}

// coding returns the encoding that an answer claims, if it is one that a request for "identity" should not have met.
// Object stores put words there that mean nothing.
func coding(h http.Header) string {
	switch c := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding"))); c {
	case "gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress":
		return c
	default:
		return ""
	}
}

// plain undoes a compression that something on the way applied to a document although it was asked not to. What is not
// compressed that way stays as it is.
func plain(h http.Header, data []byte, limit int64) ([]byte, error) {
	if c := coding(h); c != "gzip" && c != "x-gzip" {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return data, nil
	}
	text, err := readBounded(z, limit)
	if err != nil {
		return nil, fmt.Errorf("content encoding: %w", err)
	}
	return text, nil
}

// isJSON is right for documents that no digest names.
func isJSON(_ http.Header, data []byte) bool { return json.Valid(data) }
