package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	maxPages   = 1000
	maxPage    = 4 << 20
	maxTags    = 200_000
	tagsOnPage = "1000"

	opTags = "list tags"
)

// Tags returns a repository's tags in upstream's order. It follows pagination within the same host, up to 1000 pages and 200,000
// tags. Names that are no valid tags are left out.
func (c *Client) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	s, err := c.session(opTags, repo)
	if err != nil {
		return nil, err
	}
	first := s.url("tags/list")
	first.RawQuery = url.Values{"n": {tagsOnPage}}.Encode()
	tags := []string{}
	err = s.pages(ctx, opTags, transport.Request{URL: first, Accept: "application/json"}, func(page *document) error {
		var list struct {
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(page.body, &list); err != nil {
			return &upstream.Error{Kind: upstream.Protocol, Err: fmt.Errorf("the tag list is no JSON: %s", upstream.Clean(err.Error()))}
		}
		if len(tags)+len(list.Tags) > maxTags {
			return &upstream.Error{Kind: upstream.TooLarge, Err: fmt.Errorf("%w: the limit is %d tags", upstream.ErrTooLarge, maxTags)}
		}
		for _, tag := range list.Tags {
			if _, err := name.ParseTag(tag); err == nil {
				tags = append(tags, tag)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tags, nil
}

// pages fetches a listing page by page, each with the usual retries, and gives each page to take.
func (s *session) pages(ctx context.Context, op string, r transport.Request, take func(*document) error) error {
	r.Method = http.MethodGet
	seen := map[string]bool{}
	for !seen[r.URL.String()] {
		if len(seen) == maxPages {
			return s.fail(ctx, op, &upstream.Error{Kind: upstream.TooLarge, Err: fmt.Errorf("%w: the limit is %d pages", upstream.ErrTooLarge, maxPages)})
		}
		seen[r.URL.String()] = true
		var page *document
		err := s.retry(ctx, op, func(ctx context.Context) (err error) {
			page, err = s.get(ctx, r, maxPage)
			return err
		})
		if err != nil {
			return err
		}
		if err := take(page); err != nil {
			return s.fail(ctx, op, err)
		}
		next, err := nextPage(r.URL, page.header)
		if err != nil {
			return s.fail(ctx, op, err)
		}
		if next == nil {
			return nil
		}
		r.URL = next
	}
	return s.fail(ctx, op, &upstream.Error{Kind: upstream.Protocol, Err: fmt.Errorf("%w: the listing's pages lead in a circle", upstream.ErrRefused)})
}
