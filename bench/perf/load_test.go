package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestBodyLength(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 12":            12,
		"HTTP/1.1 200 OK\r\ncontent-length:7\r\nEtag: x":   7,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked":    -1,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 12":     -1,
		"HTTP/1.1 200 OK\r\nX-Content-Length-Of: Strata\r": -1,
	} {
		got, err := bodyLength([]byte(header))
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d (%v), want %d", header, got, err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("x"), 100_000)
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	defer s.Close()
	spec := loadSpec{Address: strings.TrimPrefix(s.URL, "http://"), Path: "/x", Connections: 3,
		Duration: 50 * time.Millisecond, Buffer: 8 << 10}
	r, err := spec.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if int64(r.Requests) != asked.Load() || r.Bytes != int64(r.Requests)*int64(len(body)) || r.P50 > r.P99 ||
		r.P99 > r.Max || r.Max <= 0 {
		t.Errorf("%d answered, %+v", asked.Load(), r)
	}
	spec.Every = time.Hour
	if r, err = spec.run(t.Context()); err != nil || r.Requests != 1 || r.Bytes != int64(len(body)) {
		t.Errorf("paced: %+v, %v", r, err)
	}
	asked.Store(0)
	spec.Lead = 10 * time.Millisecond
	if r, err = spec.run(t.Context()); err != nil || r.Requests != 1 || asked.Load() != 4 {
		t.Errorf("after a lead: %+v of %d asked for, %v", r, asked.Load(), err)
	}
	spec.Address = "127.0.0.1:1"
	if _, err := spec.run(t.Context()); err == nil {
		t.Error("no server, no error")
	}
}
