package pull_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/pull"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

// What an upstream does is told to clients as what it is: an outage ends by itself, a loop does not.
func TestClientErrorOfUpstream(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err    upstream.Error
		status int
		again  time.Duration
	}{
		{upstream.Error{Kind: upstream.Unavailable, Status: 503, RetryAfter: time.Minute}, 503, time.Minute},
		{upstream.Error{Kind: upstream.Unavailable}, 503, 0},
		{upstream.Error{Kind: upstream.Unavailable, Status: 508}, 508, 0},
		{upstream.Error{Kind: upstream.Timeout}, 504, 0},
		{upstream.Error{Kind: upstream.NotFound, Status: 404}, 404, 0},
		{upstream.Error{Kind: upstream.Denied, Status: 403}, 403, 0},
		{upstream.Error{Kind: upstream.Protocol, Status: 418}, 502, 0},
	} {
		tc.err.Host = "ghcr.io"
		var got *registry.Error
		if err := pull.ClientError(&tc.err, registry.NameUnknown); !errors.As(err, &got) {
			t.Fatal(err)
		}
		if got.Status != tc.status || got.RetryAfter != tc.again {
			t.Errorf("%v: %d %s, want %d %s", &tc.err, got.Status, got.RetryAfter, tc.status, tc.again)
		}
		if tc.status == http.StatusLoopDetected && got.Message != registry.LoopDetected("ghcr.io").Message {
			t.Errorf("a loop: %s", got.Message)
		}
	}
}
