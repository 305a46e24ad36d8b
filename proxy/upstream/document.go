package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// document is a small answer, read whole.
type document struct {
	header http.Header
	body   []byte
}

// get makes one attempt to fetch a document of at most limit bytes. Any status but 200 is an *Error.
func (s *session) get(ctx context.Context, r request, limit int64) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.host.timeout) // a body that trickles is as good as none
	defer cancel()
	r.method = http.MethodGet
	resp, err := s.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.Response, s.client.now())
	}
	defer resp.Body.Close()
	tooLarge := &Error{Kind: TooLarge, Err: fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, limit)}
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
