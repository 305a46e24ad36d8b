package client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

func compressed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Something on the way compresses what was to stay as it is: the bytes that digests are of come out all the same.
func TestMiddleboxThatCompresses(t *testing.T) {
	t.Parallel()
	blob := []byte(strings.Repeat("a layer of an image ", 10_000))
	ranges := []string{}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("Accept-Encoding: %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			_, _ = w.Write(compressed(t, []byte("{}")))
			return
		case r.Header.Get("Range") != "":
			ranges = append(ranges, r.Header.Get("Range"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 10-%d/%d", len(blob)-1, len(blob)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(compressed(t, blob)[10:])
			return
		case len(ranges) == 0:
			b := compressed(t, blob)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:len(b)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(compressed(t, blob))
	})
	c, _ := client(t, srv.URL)
	if m, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil || string(m.Bytes) != "{}" {
		t.Errorf("manifest %q, %v", m.Bytes, err)
	}
	r, size, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), -1)
	if err != nil || size != -1 {
		t.Fatalf("size %d, %v", size, err)
	}
	if got, err := readAll(t, r); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if len(ranges) != 1 {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

func TestUnknownEncoding(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write([]byte("{}"))
	})
	c, _ := client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Protocol)
}

// A document that was compressed is bounded by what comes out.
func TestCompressedDocumentIsBounded(t *testing.T) {
	t.Parallel()
	bomb := compressed(t, make([]byte, 64<<20))
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	})
	c, _ := client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.TooLarge)
}

// endless writes until the other side hangs up.
func endless(w http.ResponseWriter, text string) {
	for {
		if _, err := w.Write([]byte(text)); err != nil {
			return
		}
	}
}

// What never ends is cut off: headers, token documents, manifests, error documents, lists.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"manifest": func(w http.ResponseWriter, _ *http.Request) { endless(w, strings.Repeat(" ", 1<<16)) },
		"error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			endless(w, strings.Repeat("x", 1<<16))
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
			}
		},
		"token": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/token" {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = w.Write([]byte(`{"token":"`))
			endless(w, strings.Repeat("x", 1<<16))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, h)
			c, _ := client(t, srv.URL, func(s *setup) { s.config.Timeout, s.config.Attempts = 20*time.Second, 1 })
			if _, err := c.Manifest(t.Context(), testRepo, "latest"); err == nil {
				t.Error("no error")
			}
		})
	}
}
