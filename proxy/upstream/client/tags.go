package client

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	maxTags    = 200_000
	tagsOnPage = "1000"

	opTags = "list tags"
)

// Tags returns a repository's tags in upstream's order. It follows pagination, within the bounds of all listings and up
// to 200,000 tags. Names that are no valid tags are left out.
func (c *Client) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	s, err := c.session(opTags, repo)
	if err != nil {
		return nil, err
	}
	first := s.url("tags/list")
	first.RawQuery = url.Values{"n": {tagsOnPage}}.Encode()
	tags := []string{}
	add := func(page *document, limit int) (int, error) { return tagsOf(page.body, limit, &tags) }
	err = s.ask(ctx, opTags, "tags", true, func(ctx context.Context) error {
		return s.pages(ctx, opTags, transport.Request{URL: first, Accept: "application/json"}, maxPages, maxTags, add)
	})
	if err != nil {
		return nil, err
	}
	return tags, nil
}

// tagsOf adds the tags of one page to tags. It returns how many entries the page had, at most limit.
func tagsOf(page []byte, limit int, tags *[]string) (entries int, err error) {
	var list struct {
		Tags json.RawMessage `json:"tags"`
	}
	if err := json.Unmarshal(page, &list); err != nil {
		return 0, notTags(err)
	}
	return each(list.Tags, limit, func(raw json.RawMessage) error {
		var tag string
		if err := json.Unmarshal(raw, &tag); err != nil {
			return notTags(err)
		}
		if _, err := name.ParseTag(tag); err == nil {
			*tags = append(*tags, tag)
		}
		return nil
	})
}

func notTags(err error) error {
	return upstream.Errorf(upstream.Protocol, "the tag list cannot be read: %s", upstream.Clean(err.Error()))
}
