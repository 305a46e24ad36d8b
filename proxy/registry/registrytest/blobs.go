package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

func checkBlob(t *testing.T, f Fixture) {
	d := f.Blob.Digest().String()
	a := f.get(t, f.blobPath(d), http.StatusOK)
	if !bytes.Equal(a.body, f.Blob.Bytes) {
		t.Errorf("got %d bytes that are not the blob's %d", len(a.body), len(f.Blob.Bytes))
	}
	a.want(t,
		"Content-Type", "application/octet-stream", "Docker-Content-Digest", d, "Etag", `"`+d+`"`,
		"Cache-Control", cacheForever, "Accept-Ranges", "bytes",
	)
}

func checkRange(t *testing.T, f Fixture) {
	d, all := f.Blob.Digest().String(), f.Blob.Bytes
	n := len(all)
	path := f.blobPath(d)
	for _, c := range []struct {
		header     string
		start, end int // of the part that is expected
	}{
		{"bytes=0-0", 0, 1},
		{"bytes=0-9", 0, 10},
		{"bytes=10-", 10, n},
		{fmt.Sprintf("bytes=%d-", n-1), n - 1, n},
		{"bytes=-1", n - 1, n},
		{"bytes=-17", n - 17, n},
		{fmt.Sprintf("bytes=-%d", n+5), 0, n},
		{fmt.Sprintf("bytes=5-%d", n+100), 5, n},
		{"bytes= 3-4 ", 3, 5},
		{fmt.Sprintf("bytes=%d-,7-8", n), 7, 9}, // what lies outside is left out
	} {
		a := f.do(t, http.MethodGet, path, "Range", c.header)
		if a.status != http.StatusPartialContent || !bytes.Equal(a.body, all[c.start:c.end]) {
			t.Errorf("%q: status %d, %d bytes; want 206 and bytes %d to %d", c.header, a.status, len(a.body), c.start, c.end)
		}
		a.want(t,
			"Content-Range", fmt.Sprintf("bytes %d-%d/%d", c.start, c.end-1, n), "Content-Length", fmt.Sprint(c.end-c.start),
			"Docker-Content-Digest", d,
		)
	}
	for _, header := range []string{fmt.Sprintf("bytes=%d-", n), fmt.Sprintf("bytes=%d-%d", n+1, n+9), "bytes=9-3",
		"bytes=x-y", "bytes=-"} {
		a := f.refused(t, http.MethodGet, path, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "Range", header)
		a.want(t, "Content-Range", fmt.Sprintf("bytes */%d", n))
	}
	whole := [][]string{
		{"Range", "lines=1-2"},
		{"Range", "x"},
		{"Range", "bytes="},
		{"Range", "bytes=0-9", "If-Range", `"other"`},
		{"Range", "bytes=0-9", "If-Range", "Wed, 21 Oct 2015 07:28:00 GMT"},
		{"Range", fmt.Sprintf("bytes=0-%d,0-%d", n-1, n-1)}, // more than there is
		{"Range", "bytes=0-" + strings.Repeat(",0-", 1000)},
	}
	for _, headers := range whole {
		if a := f.do(t, http.MethodGet, path, headers...); a.status != http.StatusOK || !bytes.Equal(a.body, all) {
			t.Errorf("%.80q: status %d, %d bytes; want the whole blob", headers, a.status, len(a.body))
		}
	}
	if a := f.do(t, http.MethodGet, path, "Range", "bytes=0-9", "If-Range",
		`"`+d+`"`); a.status != http.StatusPartialContent {
		t.Errorf("If-Range with the ETag: status %d", a.status)
	}
	if a := f.do(t, http.MethodHead, path, "Range", "bytes=0-9"); a.status != http.StatusOK {
		t.Errorf("HEAD with a range, which is for GET only: status %d", a.status)
	}
}

func checkMultiRange(t *testing.T, f Fixture) {
	all := f.Blob.Bytes
	n := len(all)
	path := f.blobPath(f.Blob.Digest().String())
	backwards := [][2]int{{n - 3, n}, {20, 30}, {0, 1}, {40, 41}}
	many := make([][2]int, min(1024, n))
	for i := range many {
		many[i] = [2]int{i * (n / len(many)), i*(n/len(many)) + 1}
	}
	for _, ranges := range [][][2]int{backwards, many} {
		specs := make([]string, len(ranges))
		for i, r := range ranges {
			specs[i] = fmt.Sprintf("%d-%d", r[0], r[1]-1)
		}
		a := f.do(t, http.MethodGet, path, "Range", "bytes="+strings.Join(specs, ","))
		if a.status != http.StatusPartialContent || a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			t.Fatalf("%d ranges: status %d, Content-Length %q", len(ranges), a.status, a.header.Get("Content-Length"))
		}
		checkParts(t, a, all, ranges)
	}
	tooMany := "bytes=0-0" + strings.Repeat(",0-0", 1024)
	f.refused(t, http.MethodGet, path, http.StatusBadRequest, "RANGE_INVALID", "Range", tooMany)
}

// checkParts checks that the parts are the ranges, in their order.
func checkParts(t *testing.T, a answer, all []byte, ranges [][2]int) {
	t.Helper()
	mediaType, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/byteranges" {
		t.Fatalf("Content-Type %q: %v", a.header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for i, r := range ranges {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatalf("part %d of %d: %v", i, len(ranges), err)
		}
		body, err := io.ReadAll(part)
		if err != nil || !bytes.Equal(body, all[r[0]:r[1]]) {
			t.Errorf("part %d: %d bytes, not those from %d to %d: %v", i, len(body), r[0], r[1], err)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", r[0], r[1]-1, len(all)); part.Header.Get("Content-Range") != want {
			t.Errorf("part %d: Content-Range %q, want %q", i, part.Header.Get("Content-Range"), want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("more than %d parts: %v", len(ranges), err)
	}
}
