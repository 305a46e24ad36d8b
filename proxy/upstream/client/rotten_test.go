package client

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
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

// Something on the way compresses documents that were to stay as they are: the bytes that digests are of come out all the
// same.
func TestMiddleboxThatCompressesDocuments(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("Accept-Encoding: %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		text := "{}"
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			text = `{"tags":["a"]}`
		}
		_, _ = w.Write(compressed(t, []byte(text)))
	})
	c, _ := client(t, srv.URL)
	for _, ref := range []name.Reference{"latest", name.Reference(digest.FromString("{}"))} {
		if m, err := c.Manifest(t.Context(), testRepo, ref); err != nil || string(m.Bytes) != "{}" {
			t.Errorf("manifest %s: %q, %v", ref, m.Bytes, err)
		}
	}
	if tags, err := c.Tags(t.Context(), testRepo); err != nil || len(tags) != 1 {
		t.Errorf("tags %v, %v", tags, err)
	}
}

// What matches the digest is right, whatever Content-Encoding says of it. What does not is no more right for being
// decoded: a blob that unfolds would be a bomb.
func TestContentEncodingOfBlobs(t *testing.T) {
	t.Parallel()
	blob := compressed(t, []byte(strings.Repeat("a layer of an image ", 10_000)))
	bomb := compressed(t, make([]byte, 1<<20))
	for _, coding := range []string{"aws-chunked", "none", "utf-8", "binary", "x-gzip", "gzip", "br", "zstd", "identity",
		"GZIP", "gzip, aws-chunked"} {
		f := &flaky{blob: blob, breaks: []int{100}}
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			if strings.Contains(r.URL.Path, "/manifests/") {
				fmt.Fprint(w, someIndex)
				return
			}
			f.ServeHTTP(w, r)
		})
		c, _ := client(t, srv.URL)
		r, size, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), -1)
		if err != nil || size != int64(len(blob)) {
			t.Fatalf("%s: size %d, %v", coding, size, err)
		}
		if got, err := readAll(t, r); err != nil || !bytes.Equal(got, blob) {
			t.Errorf("%s: %d bytes, %v", coding, len(got), err)
		}
		for _, ref := range []name.Reference{"latest", name.Reference(someDigest)} {
			if m, err := c.Manifest(t.Context(), testRepo, ref); err != nil || string(m.Bytes) != someIndex {
				t.Errorf("%s: manifest %s: %v", coding, ref, err)
			}
		}
		f.blob, f.breaks = bomb, nil
		if r, _, err = c.Blob(t.Context(), testRepo, digest.FromBytes(make([]byte, 1<<20)), -1); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t, r); !errors.Is(err, upstream.ErrVerify) || len(got) > len(bomb) {
			t.Errorf("%s: the bomb became %d bytes, %v", coding, len(got), err)
		}
	}
}

// A part of an encoded blob is a part of something else.
func TestRangeOfAnEncodedBlob(t *testing.T) {
	t.Parallel()
	for coding, whole := range map[string]bool{"gzip": true, "x-gzip": true, "br": true, "aws-chunked": false,
		"utf-8": false} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			w.Header().Set("Content-Range", "bytes 0-9/100")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, "0123456789")
		})
		c, _ := client(t, srv.URL)
		r, err := c.BlobRange(t.Context(), testRepo, digest.FromString("x"), 0, 10)
		if err == nil {
			_ = r.Close()
		}
		if errors.Is(err, upstream.ErrRangeIgnored) != whole {
			t.Errorf("%s: got %v", coding, err)
		}
	}
}

// A document that cannot be read is an error, not content.
func TestUnknownEncoding(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write([]byte("\x0b\x00\x80{}\x03"))
	})
	c, _ := client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Protocol)
	_, err = c.Tags(t.Context(), testRepo)
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
