package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
	"github.com/strata-oci/strata/rechunk/image"
)

// What a listing may cost, over all its pages.
const (
	maxPages = 1000
	// Pulls wait for the referrers that signatures are looked for among.
	maxReferrerPages = 100
	maxPage          = image.MaxDocument // that of referrers is an index
	maxListing       = 16 << 20
	listingTime      = 2 * time.Minute
)

// pages fetches a listing page by page, at most so many, each with the usual retries, and gives each page to take, with the
// number of entries that it may still have; take returns how many it had. The pages' bytes, entries, number and time are
// bounded together.
func (s *session) pages(
	ctx context.Context, op string, r transport.Request, most, entries int, take func(*document, int) (int, error),
) error {
	bounded, cancel := context.WithTimeout(ctx, listingTime)
	defer cancel()
	seen, left := map[string]bool{}, int64(maxListing)
	for !seen[r.URL.String()] {
		if len(seen) == most {
			return s.fail(ctx, op, tooLarge(int64(most), "pages"))
		}
		seen[r.URL.String()] = true
		var page *document
		err := s.retry(bounded, op, func(ctx context.Context) (err error) {
			page, err = s.get(ctx, r, min(maxPage, left), isJSON)
			return err
		})
		if err != nil {
			return s.fail(ctx, op, err)
		}
		left -= int64(len(page.body))
		n, err := take(page, entries)
		if err != nil {
			return s.fail(ctx, op, err)
		}
		entries -= n
		next, err := nextPage(r.URL, page.header)
		if err != nil {
			return s.fail(ctx, op, err)
		}
		if next == nil {
			return nil
		}
		r.URL = next
	}
	circle := upstream.Errorf(upstream.Protocol, "%w: the listing's pages lead in a circle", upstream.ErrRefused)
	return s.fail(ctx, op, circle)
}

// tooLarge is an error that wraps upstream.ErrTooLarge and names a limit.
func tooLarge(limit int64, of string) error {
	return upstream.Errorf(upstream.TooLarge, "%w: the limit is %d %s", upstream.ErrTooLarge, limit, of)
}

// each calls take with the elements of a JSON array, at most limit of them, and returns how many there were. null and
// nothing are empty.
func each(array json.RawMessage, limit int, take func(json.RawMessage) error) (n int, err error) {
	if len(array) == 0 {
		return 0, nil
	}
	d := json.NewDecoder(bytes.NewReader(array))
	first, err := d.Token()
	if err != nil || first == nil {
		return 0, err
	}
	if first != json.Delim('[') {
		return 0, &upstream.Error{
			Kind: upstream.Protocol, Status: http.StatusOK, Err: fmt.Errorf("a list was expected, not %.20q", array),
		}
	}
	for ; d.More(); n++ {
		if n == limit {
			return n, tooLarge(int64(limit), "more entries")
		}
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return n, err
		}
		if err := take(element); err != nil {
			return n, err
		}
	}
	return n, nil
}
