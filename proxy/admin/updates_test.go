package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/compare"
)

// fakeUpdates know one update.
type fakeUpdates struct{}

func (fakeUpdates) Update(_ context.Context, from, to, platform string, contents bool) (
	*operate.Update, error) {
	switch {
	case from == "broken":
		return nil, errors.New("the disk is gone")
	case from != "ghcr.io/a/b:1" || to != "ghcr.io/a/b:2":
		return nil, fmt.Errorf("%w: %s", operate.ErrNotFound, from)
	}
	out := &operate.Update{Deltas: compare.Deltas{Format: platform, LayerBytes: 9000, DeltaBytes: 7000,
		Components: []compare.DeltaComponent{{Component: "rpm/bash", LayerBytes: 8000, DeltaBytes: 6000}}}}
	if contents {
		out.Contents = &compare.News{Packages: []compare.PackageChange{{Name: "bash", From: "1", To: "2",
			Component: "rpm/bash"}}}
	}
	return out, nil
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{Updates: fakeUpdates{}})
	_, without := serve(t, Options{})
	for query, want := range map[string]struct {
		status int
		text   string
	}{
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&platform=linux/arm64": {http.StatusOK, `"format":"linux/arm64"`},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2":                      {http.StatusOK, `"delta_bytes":7000`},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&contents=1": {http.StatusOK,
			`"contents":{"packages":[{"name":"bash"`},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&format=markdown": {http.StatusOK, "|`bash`|`1`|`2`|8.0kB|6.0kB|"},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&format=html":     {http.StatusBadRequest, "json or markdown"},
		"?from=ghcr.io/a/b:0&to=ghcr.io/a/b:2":                 {http.StatusNotFound, "ghcr.io/a/b:0"},
		"?from=broken&to=ghcr.io/a/b:2":                        {http.StatusInternalServerError, "the disk is gone"},
		"?from=ghcr.io/a/b:1":                                  {http.StatusBadRequest, "name two images"},
		"?from=x&to=" + strings.Repeat("y", 2000):              {http.StatusBadRequest, "name two images"},
		"": {http.StatusBadRequest, "name two images"},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&platform=zzz":       {http.StatusBadRequest, `platform: \"zzz\" is no platform`},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&platfrom=linux/arm": {http.StatusBadRequest, `\"platfrom\" is no parameter here`},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&to=ghcr.io/a/b:2":   {http.StatusBadRequest, "to is given twice"},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&contents=yes":       {http.StatusBadRequest, "contents is"},
		"?from=ghcr.io/a/b:1&to=ghcr.io/a/b:2&%zz=1":              {http.StatusBadRequest, "the query of /api/v1/updates"},
	} {
		answer, err := s.Client().Get(s.URL + "/api/v1/updates" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		text := strings.ReplaceAll(strings.ReplaceAll(string(body), " ", ""), "\n", "")
		if err != nil || answer.StatusCode != want.status ||
			!strings.Contains(text, strings.ReplaceAll(want.text, " ", "")) {
			t.Errorf("%s: %d %s, %v", query, answer.StatusCode, body, err)
		}
	}
	answer, err := without.Client().Get(without.URL + "/api/v1/updates?from=a&to=b")
	if err != nil || answer.StatusCode != http.StatusNotImplemented {
		t.Errorf("without: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
}
