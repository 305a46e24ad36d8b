package registry_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
)

// remoteBlob is large, and has every byte fetched from elsewhere.
type remoteBlob struct{ *io.SectionReader }

func (remoteBlob) Origin() registry.Origin { return registry.FromUpstream }
func (remoteBlob) Close() error            { return nil }

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// A few bytes in a thousand places would have a thousand mebibytes fetched; clients that want as many in fewer places, or as
// much, get it.
func TestScatteredRanges(t *testing.T) {
	t.Parallel()
	const mebibyte = 1 << 20
	backend, _, blob := newFake()
	backend.open = func([]byte) registry.Blob { return remoteBlob{io.NewSectionReader(zeros{}, 0, 2000*mebibyte)} }
	h := backend.handler()
	for name, tc := range map[string]struct {
		n, step, length int
		status          int
	}{
		"a thousand bytes in a thousand places": {1000, mebibyte, 1, http.StatusBadRequest},
		"in one place":                          {1000, 1000, 1, http.StatusPartialContent},
		"few ranges":                            {32, 4 * mebibyte, 100, http.StatusPartialContent},
		"what clients ask for at least":         {64, 4 * mebibyte, 100, http.StatusPartialContent},
		"much of it":                            {200, mebibyte, mebibyte * 3 / 4, http.StatusPartialContent},
	} {
		var specs []string
		for i := range tc.n {
			specs = append(specs, fmt.Sprintf("%d-%d", i*tc.step, i*tc.step+tc.length-1))
		}
		w := call(h, http.MethodGet, "/v2/"+testRepo+"/blobs/"+digest.FromBytes(blob).String(), "Range",
			"bytes="+strings.Join(specs, ","))
		if w.Code != tc.status {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
	}
}
