package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// maxBody bounds what is read of an answer.
const maxBody = 1 << 30

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request; headers are given as key, value, key, value, and a key may come again.
func (f Fixture) do(t *testing.T, method, path string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := f.Client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		t.Fatalf("%s %s: read: %v", method, path, err)
	}
	if got := resp.Header.Get("Docker-Distribution-Api-Version"); got != "registry/2.0" {
		t.Errorf("%s %s: Docker-Distribution-API-Version %q", method, path, got)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// get sends a GET and checks its status, its length, and that HEAD says the same about it.
func (f Fixture) get(t *testing.T, path string, status int, headers ...string) answer {
	t.Helper()
	a := f.do(t, http.MethodGet, path, headers...)
	if a.status != status {
		t.Fatalf("GET %s: status %d, want %d: %.200s", path, a.status, status, a.body)
	}
	if length := a.header.Get("Content-Length"); status != http.StatusNotModified && length != strconv.Itoa(len(a.body)) {
		t.Errorf("GET %s: Content-Length %q for %d bytes", path, length, len(a.body))
	}
	h := f.do(t, http.MethodHead, path, headers...)
	if h.status != status {
		t.Errorf("HEAD %s: status %d, GET has %d", path, h.status, status)
	}
	if len(h.body) != 0 {
		t.Errorf("HEAD %s: body of %d bytes", path, len(h.body))
	}
	for _, header := range []http.Header{a.header, h.header} {
		header.Del("Date")
	}
	if diff := cmp.Diff(a.header, h.header); diff != "" {
		t.Errorf("%s: headers of GET (-) and HEAD (+) differ:\n%s", path, diff)
	}
	return a
}

var errorCode = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)

// refused sends a request and checks that the answer is an error of this status with a document that has this code.
func (f Fixture) refused(t *testing.T, method, path string, status int, code string, headers ...string) answer {
	t.Helper()
	a := f.do(t, method, path, headers...)
	if a.status != status {
		t.Errorf("%s %s: status %d, want %d: %.200s", method, path, a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: Content-Type %q", method, path, got)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s %s: Cache-Control %q", method, path, got)
	}
	if method == http.MethodHead {
		return a
	}
	var document struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	if err := d.Decode(&document); err != nil || len(document.Errors) != 1 {
		t.Errorf("%s %s: no error document: %.200s", method, path, a.body)
		return a
	}
	got := document.Errors[0]
	if got.Code != code || !errorCode.MatchString(got.Code) || got.Message == "" {
		t.Errorf("%s %s: error %q %q, want code %q", method, path, got.Code, got.Message, code)
	}
	return a
}

// want checks headers, given as key, value, key, value.
func (a answer) want(t *testing.T, headers ...string) {
	t.Helper()
	for i := 0; i+1 < len(headers); i += 2 {
		if got := a.header.Get(headers[i]); got != headers[i+1] {
			t.Errorf("%s: %q, want %q", headers[i], got, headers[i+1])
		}
	}
}
