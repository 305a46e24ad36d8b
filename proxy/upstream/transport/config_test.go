package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host   string
		config Config
		want   string
	}{
		{"ghcr.io", Config{}, "https://ghcr.io"},
		{"docker.io", Config{}, "https://registry-1.docker.io"},
		{"docker.io", Config{URL: "https://mirror.gcr.io/"}, "https://mirror.gcr.io"},
		{"localhost:5000", Config{}, "https://localhost:5000"},
		{"localhost:5000", Config{Insecure: true}, "http://localhost:5000"},
		{"a.test", Config{URL: "b.test:443"}, "https://b.test:443"},
		{"a.test", Config{URL: "http://B.test"}, "http://b.test"},
		{"a.test", Config{URL: "https://b.test", Insecure: true}, "https://b.test"},
	} {
		u, err := tc.config.base(tc.host)
		if err != nil || u.String() != tc.want {
			t.Errorf("%s, %+v: got %v, %v", tc.host, tc.config, u, err)
		}
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Sleep(t.Context(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("slept %s, %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("slept %s, %v", time.Since(start), err)
		}
	})
}
