package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// someBlob returns n bytes that look the same in each run.
func someBlob(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	return b
}

// flaky serves a blob and breaks off after some bytes of the first few answers.
type flaky struct {
	blob   []byte
	breaks []int // bytes to send before breaking off, per answer
	ranges []string
	answer func(w http.ResponseWriter, r *http.Request, first int64) bool // replaces the answer to a ranged request
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rng := r.Header.Get("Range")
	f.ranges = append(f.ranges, rng)
	var first, last int64
	status := http.StatusOK
	last = int64(len(f.blob)) - 1
	if rng != "" {
		if n, _ := fmt.Sscanf(rng, "bytes=%d-%d", &first, &last); n == 1 {
			last = int64(len(f.blob)) - 1
		}
		if f.answer != nil && f.answer(w, r, first) {
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(f.blob)))
	}
	part := f.blob[first : last+1]
	w.Header().Set("Content-Length", fmt.Sprint(len(part)))
	w.WriteHeader(status)
	if len(f.breaks) > 0 {
		part = part[:min(f.breaks[0], len(part))]
		f.breaks = f.breaks[1:]
		_, _ = w.Write(part)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(part)
}

func TestBlobStreams(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 300_000} {
		blob := someBlob(n)
		srv := serve(t, (&flaky{blob: blob}).ServeHTTP)
		c, _ := client(t, srv.URL)
		for _, size := range []int64{int64(n), -1} {
			r, got, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), size)
			if err != nil || got != int64(n) {
				t.Fatalf("size %d, %v", got, err)
			}
			data, err := readAll(t, r)
			if err != nil || !bytes.Equal(data, blob) {
				t.Errorf("%d of %d bytes, %v", len(data), n, err)
			}
		}
	}
}

// A connection that breaks is no reason to start over, or to fail: distribution#4649, "unexpected EOF" in #4191 and #2367.
func TestBlobResumesWithRange(t *testing.T) {
	t.Parallel()
	blob := someBlob(500_000)
	f := &flaky{blob: blob, breaks: []int{100_000, 200_000, 0}}
	srv := serve(t, f.ServeHTTP)
	c, _ := client(t, srv.URL)
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), int64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	if err != nil || !bytes.Equal(data, blob) {
		t.Fatalf("%d of %d bytes, %v", len(data), len(blob), err)
	}
	if len(f.ranges) != 4 {
		t.Fatalf("%d requests: %q", len(f.ranges), f.ranges)
	}
	for i, rng := range f.ranges[1:] {
		if !strings.HasPrefix(rng, "bytes=") || !strings.HasSuffix(rng, "-499999") {
			t.Errorf("resume %d asked for %q", i+1, rng)
		}
	}
}

// Harbor PR 23601: a 200 answer to a ranged request starts over, and must not be appended to what is there.
func TestBlobResumeAnsweredWithWholeBlob(t *testing.T) {
	t.Parallel()
	blob := someBlob(300_000)
	f := &flaky{blob: blob, breaks: []int{100_000}}
	f.answer = func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		_, _ = w.Write(blob)
		return true
	}
	testResume(t, f)
}

func TestBlobResumeAnsweredWithOtherRange(t *testing.T) {
	t.Parallel()
	for name, contentRange := range map[string]string{
		"starts elsewhere": "bytes 5-299999/300000",
		"ends early":       "bytes %d-200000/300000",
		"other total":      "bytes %d-299999/400000",
		"missing":          "",
		"malformed":        "bytes x-y/z",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &flaky{blob: someBlob(300_000), breaks: []int{100_000}}
			f.answer = func(w http.ResponseWriter, _ *http.Request, first int64) bool {
				if strings.Contains(contentRange, "%d") {
					w.Header().Set("Content-Range", fmt.Sprintf(contentRange, first))
				} else {
					setHeader(w.Header(), "Content-Range", contentRange)
				}
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(f.blob[5:])
				return true
			}
			testResume(t, f)
		})
	}
}

func TestBlobResumeAnsweredWith416(t *testing.T) {
	t.Parallel()
	f := &flaky{blob: someBlob(300_000), breaks: []int{100_000}}
	f.answer = func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	testResume(t, f)
}

func testResume(t *testing.T, f *flaky) {
	t.Helper()
	srv := serve(t, f.ServeHTTP)
	c, _ := client(t, srv.URL)
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(f.blob), int64(len(f.blob)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	if err != nil || !bytes.Equal(data, f.blob) {
		t.Fatalf("%d of %d bytes, right ones: %t, %v", len(data), len(f.blob), bytes.Equal(data, f.blob), err)
	}
}

func TestBlobGivesUpWithoutProgress(t *testing.T) {
	t.Parallel()
	blob := someBlob(200_000)
	f := &flaky{blob: blob, breaks: []int{100_000, 0, 10, 0, 10, 0, 0, 0, 0}}
	srv := serve(t, f.ServeHTTP)
	c, clock := client(t, srv.URL)
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), int64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	wantKind(t, err, upstream.Unavailable)
	if len(data) != 100_010 || len(f.ranges) != DefaultAttempts {
		t.Errorf("%d bytes in %d requests", len(data), len(f.ranges))
	}
	if len(clock.waited()) != DefaultAttempts-2 {
		t.Errorf("waits %v", clock.waited())
	}
}

func TestBlobVerifies(t *testing.T) {
	t.Parallel()
	blob := someBlob(100_000)
	wrong := append([]byte{}, blob...)
	wrong[99_999] ^= 1
	for _, tc := range []struct {
		name    string
		sent    []byte
		chunked bool
		size    int64
	}{
		{"wrong byte", wrong, false, 100_000},
		{"wrong byte, size unknown", wrong, false, -1},
		{"wrong byte, chunked", wrong, true, -1},
		{"trailing data", append(append([]byte{}, blob...), 'x'), true, 100_000},
		{"trailing data, size unknown", append(append([]byte{}, blob...), 'x'), true, -1},
		{"short, size unknown", blob[:50_000], true, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.chunked {
					w.(http.Flusher).Flush()
				}
				_, _ = w.Write(tc.sent)
			})
			c, _ := client(t, srv.URL)
			r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), tc.size)
			if err != nil {
				t.Fatal(err)
			}
			data, err := readAll(t, r)
			wantKind(t, err, upstream.Invalid)
			if !errors.Is(err, upstream.ErrVerify) {
				t.Errorf("%v does not wrap upstream.ErrVerify", err)
			}
			if tc.size >= 0 && int64(len(data)) > tc.size {
				t.Errorf("%d bytes were delivered, %d expected", len(data), tc.size)
			}
		})
	}
}

func TestBlobOfOtherSizeIsRejectedBeforeReading(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "four") })
	c, _ := client(t, srv.URL)
	_, _, err := c.Blob(t.Context(), testRepo, digest.FromString("four"), 5)
	if wantKind(t, err, upstream.Invalid); !errors.Is(err, upstream.ErrVerify) {
		t.Errorf("%v does not wrap upstream.ErrVerify", err)
	}
}

// Harbor#22555: an upstream that stops sending must not hang the reader; zot#4128.
func TestBlobStallIsResumed(t *testing.T) {
	t.Parallel()
	blob := someBlob(200_000)
	f := &flaky{blob: blob}
	stalled := false
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if stalled {
			f.ServeHTTP(w, r)
			return
		}
		stalled = true
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		_, _ = w.Write(blob[:100_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Timeout = 200 * time.Millisecond })
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), -1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	if err != nil || !bytes.Equal(data, blob) {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
}

func TestBlobReadEndsWithContext(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "x")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c, clock := client(t, srv.URL)
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := c.Blob(ctx, testRepo, digest.FromString("xy"), 2)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := readAll(t, r); !errors.Is(err, context.Canceled) || len(clock.waited()) > 0 {
		t.Errorf("got %v after waits %v", err, clock.waited())
	}
}

func TestBlobReadAfterClose(t *testing.T) {
	t.Parallel()
	srv := serve(t, (&flaky{blob: someBlob(100_000)}).ServeHTTP)
	c, _ := client(t, srv.URL)
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(someBlob(100_000)), -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("got %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
