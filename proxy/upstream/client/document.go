package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// document is a small answer, read whole.
type document struct {
	header http.Header
	body   []byte
}

// get makes one attempt to fetch a document of at most limit bytes. Any status but 200 is an *upstream.Error.
func (s *session) get(ctx context.Context, r transport.Request, limit int64) (*document, error) {
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
	tooLarge := &upstream.Error{Kind: upstream.TooLarge, Err: fmt.Errorf("%w: the limit is %d bytes", upstream.ErrTooLarge, limit)}
	if resp.ContentLength > limit {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge
	}
	return &document{header: resp.Header, body: data}, nil
}
