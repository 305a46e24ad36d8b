package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	opDelta   = "get delta"
	opFormats = "ask for deltas"
	opWay     = "ask for the way"

	deltaPath      = "/strata/v1/delta"
	deltaMediaType = "application/vnd.strata.delta.v1"
)

// DeltaRequest asks another Strata how to make a layer of images that are here (docs/protocol.md).
type DeltaRequest struct {
	Layer digest.Digest
	// Seeds are the manifests of these images, the best one first.
	Seeds []digest.Digest
	// Worth is how many bytes a second of an encoder's work has to save.
	Worth int64
	// Encoders are the programs that are here, each "name/version".
	Encoders []string
	// Layers are what layers can be compressed with here, by the names that records have (layer.Encoder.String).
	Layers []string
	// Wait is how long the delta may be in the making before its first byte; where that is longer, it is asked again.
	Wait time.Duration
	// Silence is how long nothing may come once it has begun; 0 stands for the host's timeout.
	Silence time.Duration
}

// Delta is an answer to a DeltaRequest: a delta, or why there is none.
type Delta struct {
	// Body is the delta, unverified; nil where there is none. The caller closes it.
	Body io.ReadCloser
	// Seed is the image that it needs, Size its length in bytes, -1 while it is being made.
	Seed digest.Digest
	Size int64
	// Refused is one word on why there is none; empty with RetryAfter says that it is being made.
	Refused    string
	RetryAfter time.Duration
}

// DeltaFormats asks another Strata which versions of the format of deltas it makes, "2". A registry that is none, or an
// older one, gives "".
func (c *Client) DeltaFormats(ctx context.Context, repo name.Repository) (string, error) {
	s, err := c.session(opFormats, repo)
	if err != nil {
		return "", err
	}
	var formats string
	err = s.retry(ctx, opFormats, func(ctx context.Context) error {
		resp, err := s.send(ctx, transport.Request{Method: http.MethodGet, URL: s.host.URL("/v2/")})
		if err != nil {
			return err
		}
		if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
			return upstream.StatusError(resp.Response, s.client.options.Now())
		}
		transport.Discard(resp.Response)
		formats = resp.Header.Get("Strata-Deltas")
		return nil
	})
	return formats, err
}

// LeadsBack asks another Strata whether the way to a repository's images leads it, or one behind it, to one that this
// question came through (docs/protocol.md). It is asked once, and what does not know the question says no.
func (c *Client) LeadsBack(ctx context.Context, repo name.Repository) (bool, error) {
	s, err := c.session(opWay, repo)
	if err != nil {
		return false, err
	}
	resp, err := s.send(ctx, transport.Request{
		Method: http.MethodGet, URL: s.host.URL("/v2/"), Header: http.Header{"Strata-Way": {repo.String()}},
	})
	if err != nil {
		return false, s.fail(ctx, opWay, err)
	}
	transport.Discard(resp.Response)
	return resp.StatusCode == http.StatusLoopDetected, nil
}

// Delta asks another Strata for a delta. It is asked once: who gets none has the layer to fetch.
func (c *Client) Delta(ctx context.Context, repo name.Repository, r DeltaRequest) (Delta, error) {
	s, err := c.blobSession(opDelta, repo, r.Layer)
	if err != nil {
		return Delta{}, err
	}
	u := s.host.URL(deltaPath)
	query := url.Values{"repository": {s.repo.String()}, "layer": {r.Layer.String()}}
	for _, seed := range r.Seeds {
		query.Add("seed", seed.String())
	}
	if r.Worth > 0 {
		query.Set("worth", strconv.FormatInt(r.Worth, 10))
	}
	u.RawQuery = query.Encode()
	// Before the first byte, the transport's patience counts.
	wait := min(r.Wait, s.host.Timeout()/2)
	fields := http.Header{"Prefer": {fmt.Sprintf("wait=%d", max(wait, 0)/time.Second)}}
	if len(r.Encoders) > 0 {
		fields.Set("Strata-Encoders", strings.Join(r.Encoders, ", "))
	}
	if len(r.Layers) > 0 {
		fields.Set("Strata-Layers", strings.Join(r.Layers, ", "))
	}
	resp, err := s.send(ctx, transport.Request{
		Method: http.MethodGet, URL: u, Accept: deltaMediaType, Header: fields, Blob: true, Patience: r.Silence,
	})
	if err != nil {
		return Delta{}, s.fail(ctx, opDelta, err)
	}
	d, err := deltaOf(resp, s.client.options.Now())
	return d, s.fail(ctx, opDelta, err)
}

// deltaOf reads an answer. The body of all but a delta is closed.
func deltaOf(resp *transport.Response, now time.Time) (Delta, error) {
	switch resp.StatusCode {
	case http.StatusOK:
		seed, err := name.ParseDigest(resp.Header.Get("Strata-Seed"))
		if err == nil && header.ContentType(resp.Header) == deltaMediaType {
			return Delta{Body: resp.Body, Seed: seed, Size: resp.ContentLength}, nil
		}
		_ = resp.Body.Close()
		return Delta{}, upstream.Errorf(upstream.Protocol, "the answer is no delta, or names no seed")
	case http.StatusAccepted:
		transport.Discard(resp.Response)
		return Delta{RetryAfter: max(header.RetryAfter(resp.Header.Get("Retry-After"), now), time.Second)}, nil
	case http.StatusNotFound:
		if why := resp.Header.Get("Strata-Delta-Refused"); refusal.MatchString(why) {
			transport.Discard(resp.Response)
			return Delta{Refused: why}, nil
		}
	}
	return Delta{}, upstream.StatusError(resp.Response, now)
}

// refusal is the one word on why there is no delta.
var refusal = regexp.MustCompile(`^[a-z]{1,16}$`)
