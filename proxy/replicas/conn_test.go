package replicas_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/replicas"
	"github.com/strata-oci/strata/proxy/replicas/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, o replicas.Options) (*replicas.Conn, chan bool) {
	t.Helper()
	changes := make(chan bool, 100)
	o.Changed = func(up bool) { changes <- up }
	c := replicas.Open(t.Context(), o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, changes
}

func expect(t *testing.T, changes chan bool, want ...bool) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-changes:
			if got != w {
				t.Fatalf("up is %t, want %t", got, w)
			}
		case <-time.After(time.Minute):
			t.Fatalf("up does not become %t", w)
		}
	}
}

// Redis goes and comes back: commands fail at once in between, and leases go on without it.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c, changes := open(t, replicas.Options{Address: server.Address})
	expect(t, changes, true)
	leases := lease.New(lease.NewAlone(lease.NewRedis(c.Client(), "test:")), nil)
	first, err := leases.TryAcquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()

	server.Kill()
	if err := first.Confirm(t.Context()); err != nil {
		t.Errorf("a lease whose redis is gone: %v", err)
	}
	expect(t, changes, false)
	for range 100 {
		if err := c.Client().Get(t.Context(), "x").Err(); err != nil && !errors.Is(err, replicas.ErrDown) {
			t.Fatalf("redis is asked although it is down: %v", err)
		}
	}
	second, err := leases.TryAcquire(t.Context(), "other", time.Minute)
	if err != nil {
		t.Fatalf("no lease without redis: %v", err)
	}
	defer second.Release()

	server.Restart(t)
	expect(t, changes, true)
	if err := second.Confirm(t.Context()); err != nil || c.Err() != nil {
		t.Errorf("after the outage: %v, %v", err, c.Err())
	}
	if n, err := c.Client().Exists(t.Context(), "test:lease:{other}").Result(); n != 1 || err != nil {
		t.Errorf("the lease of the outage is not in redis: %d, %v", n, err)
	}
}

func TestNoRedisAtAll(t *testing.T) {
	t.Parallel()
	c, changes := open(t, replicas.Options{Address: "unix://" + filepath.Join(t.TempDir(), "none")})
	expect(t, changes, true, false)
	if err := c.Client().Ping(t.Context()).Err(); !errors.Is(err, replicas.ErrDown) {
		t.Errorf("got %v", err)
	}
}

// What is wrong with one command or its caller is no outage.
func TestNoOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c, changes := open(t, replicas.Options{Address: server.Address})
	expect(t, changes, true)
	if err := c.Client().Get(t.Context(), "nothing").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("got %v", err)
	}
	if err := c.Client().Do(t.Context(), "nonsense").Err(); err == nil {
		t.Error("redis took nonsense")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Client().Ping(ctx).Err(); err == nil {
		t.Error("a command with an ended context went through")
	}
	if err := c.Err(); err != nil {
		t.Errorf("redis counts as down: %v", err)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Client()
	defer admin.Close()
	if err := admin.ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	right, changes := open(t, replicas.Options{Address: server.Address,
		Password: func() (string, error) { return "secret", nil }})
	expect(t, changes, true)
	if err := right.Err(); err != nil {
		t.Error(err)
	}
	_, changes = open(t, replicas.Options{Address: server.Address, Password: func() (string, error) { return "wrong", nil }})
	expect(t, changes, true, false)
	_, changes = open(t, replicas.Options{Address: server.Address})
	expect(t, changes, true, false)
}
