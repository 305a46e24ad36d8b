package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Harbor#22609: HEAD of a blob that is not cached gives 404. distribution: a cold HEAD downloads the whole blob.
func TestStatBlob(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	for _, tc := range []struct {
		name string
		head func(http.ResponseWriter)
		get  http.HandlerFunc
	}{
		{"head tells", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1000") }, nil},
		{"head without length", func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, (&flaky{blob: blob}).ServeHTTP},
		{"head not allowed", func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
			(&flaky{blob: blob}).ServeHTTP},
		{"range ignored", func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodHead:
					tc.head(w)
				case tc.get == nil:
					t.Error("GET was not needed")
				default:
					tc.get(w, r)
				}
			})
			c, _ := client(t, srv.URL)
			n, err := c.StatBlob(t.Context(), testRepo, digest.FromBytes(blob))
			if err != nil || n != 1000 {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
}

// distribution#4667, Harbor#23875: a ranged request for a cold blob.
func TestBlobRange(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	for _, tc := range []struct {
		offset, length int64
		want           []byte
	}{
		{0, 10, blob[:10]},
		{990, 10, blob[990:]},
		{500, -1, blob[500:]},
		{999, 1, blob[999:]},
	} {
		srv := serve(t, (&flaky{blob: blob, breaks: []int{3}}).ServeHTTP)
		c, _ := client(t, srv.URL)
		r, err := c.BlobRange(t.Context(), testRepo, digest.FromBytes(blob), tc.offset, tc.length)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := readAll(t, r); err != nil || !bytes.Equal(data, tc.want) {
			t.Errorf("%d+%d: %d bytes, %v", tc.offset, tc.length, len(data), err)
		}
	}
}

func TestBlobRangePastTheEndIsClipped(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	})
	c, _ := client(t, srv.URL)
	r, err := c.BlobRange(t.Context(), testRepo, digest.FromBytes(blob), 900, 500)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := readAll(t, r); err != nil || !bytes.Equal(data, blob[900:]) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	_, err = c.BlobRange(t.Context(), testRepo, digest.FromBytes(blob), 1000, 1)
	if e := asError(t, err); !errors.Is(err, upstream.ErrRangeNotSatisfiable) ||
		e.Status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("got %v", err)
	}
	for _, bad := range [][2]int64{{-1, 5}, {0, 0}, {1 << 62, 1 << 62}} {
		if _, err := c.BlobRange(t.Context(), testRepo, digest.FromBytes(blob), bad[0], bad[1]); !errors.Is(err,
			upstream.ErrRangeNotSatisfiable) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

func TestBlobRangeRefusesTheWrongPart(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "bytes 1-10/1000", "bytes 0-10/1000", "bytes 0-9/9"} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			setHeader(w.Header(), "Content-Range", header)
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, "0123456789")
		})
		c, _ := client(t, srv.URL)
		_, err := c.BlobRange(t.Context(), testRepo, digest.FromString("x"), 0, 10)
		wantKind(t, err, upstream.Invalid)
	}
}

// Harbor PR 23601, for a ranged read.
func TestBlobRangeIgnoredByUpstream(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(someBlob(1000)) })
	c, _ := client(t, srv.URL)
	_, err := c.BlobRange(t.Context(), testRepo, digest.FromBytes(someBlob(1000)), 10, 10)
	if !errors.Is(err, upstream.ErrRangeIgnored) {
		t.Errorf("got %v", err)
	}
}

func TestStatBlobWhenNobodyTells(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		blob []byte
		get  http.HandlerFunc
		kind upstream.Kind // none: the size is found
	}{
		{"empty", nil, status(http.StatusRequestedRangeNotSatisfiable), ""},
		{"not satisfiable", []byte("x"), status(http.StatusRequestedRangeNotSatisfiable), upstream.Protocol},
		{"no total", []byte("x"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
		}, upstream.Protocol},
		{"no length", []byte("x"), func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
			upstream.Protocol},
		{"gone", []byte("x"), http.NotFound, upstream.NotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				tc.get(w, r)
			})
			c, _ := client(t, srv.URL)
			n, err := c.StatBlob(t.Context(), testRepo, digest.FromBytes(tc.blob))
			if tc.kind != "" {
				wantKind(t, err, tc.kind)
			} else if n != 0 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
}

// The second part of a range must be of the same blob as the first.
func TestBlobRangeResumedInAnotherBlob(t *testing.T) {
	t.Parallel()
	f := &flaky{blob: someBlob(1000)}
	calls := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			f.breaks = []int{50}
		} else {
			f.blob = someBlob(999)
		}
		f.ServeHTTP(w, r)
	})
	c, _ := client(t, srv.URL)
	r, err := c.BlobRange(t.Context(), testRepo, digest.FromString("x"), 100, 200)
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	if wantKind(t, err, upstream.Invalid); len(data) != 50 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func BenchmarkBlob(b *testing.B) {
	blob := someBlob(8 << 20)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob) }))
	defer srv.Close()
	c, err := New(Options{Hosts: map[string]Config{testRepo.Host(): at(srv.URL)}, Keychain: anonymous{}, Proxy: direct})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	d := digest.FromBytes(blob)
	b.SetBytes(int64(len(blob)))
	for b.Loop() {
		r, _, err := c.Blob(b.Context(), testRepo, d, int64(len(blob)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}
