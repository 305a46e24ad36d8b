package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // what the upstream keeps its blobs in
	"github.com/sirupsen/logrus"
)

// fault is what is wrong with the upstream just now.
type fault int32

const (
	none      fault = iota
	down            // connections are cut
	failing         // every answer is 503
	throttled       // every answer is 429, with Retry-After
	gone            // every answer is 404
	slow            // answers come in small pieces
	truncated       // bodies end too early
	damaged         // bodies have a wrong byte
	faults
)

func (f fault) String() string {
	return [...]string{"none", "down", "failing", "throttled", "gone", "slow", "truncated", "damaged"}[f]
}

// upstream is distribution's own registry, on two addresses: one for the proxy, which faults stand before, and one for those
// who publish and verify.
type upstream struct {
	faulty, healthy string // addresses
	mode            atomic.Int32
	blobs           counts
	stop            func()
}

func startUpstream(ctx context.Context, dir string) (*upstream, error) {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": dir},
	}}
	config.HTTP.Secret = "soak"
	config.Log.AccessLog.Disabled = true
	logrus.SetOutput(io.Discard) // what the registry logs through
	app := handlers.NewApp(ctx, config)
	u := &upstream{}
	a, stopA, err := listen(u.gate(app))
	if err != nil {
		return nil, err
	}
	b, stopB, err := listen(app)
	if err != nil {
		stopA()
		return nil, err
	}
	u.faulty, u.healthy, u.stop = a, b, func() { stopA(); stopB() }
	return u, nil
}

func listen(h http.Handler) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }() // until it is closed
	return l.Addr().String(), func() { _ = s.Close() }, nil
}

func (u *upstream) set(f fault) { u.mode.Store(int32(f)) }

// gate does what the fault of the moment says.
func (u *upstream) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blob := strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet
		switch f := fault(u.mode.Load()); f {
		case down:
			panic(http.ErrAbortHandler)
		case failing:
			w.WriteHeader(http.StatusServiceUnavailable)
		case throttled:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		case gone:
			w.WriteHeader(http.StatusNotFound)
		case slow, truncated, damaged:
			if blob {
				w = &spoiler{ResponseWriter: w, fault: f, left: rand.IntN(1 << 20)}
			}
			next.ServeHTTP(w, r)
		default:
			if blob && r.Header.Get("Range") == "" {
				u.blobs.add(r.URL.Path)
			}
			next.ServeHTTP(w, r)
		}
	})
}

// spoiler spoils the body of an answer.
type spoiler struct {
	http.ResponseWriter
	fault fault
	left  int // bytes until it strikes
}

func (s *spoiler) Write(b []byte) (int, error) {
	switch s.fault {
	case slow:
		time.Sleep(5 * time.Millisecond)
	case truncated:
		if s.left -= len(b); s.left < 0 {
			panic(http.ErrAbortHandler)
		}
	case damaged:
		if s.left < len(b) && s.left >= 0 {
			b = append([]byte(nil), b...)
			b[s.left] ^= 1
		}
		s.left -= len(b)
	}
	return s.ResponseWriter.Write(b)
}

// url is where the proxy finds the upstream.
func (u *upstream) url() string { return fmt.Sprintf("http://%s", u.faulty) }
