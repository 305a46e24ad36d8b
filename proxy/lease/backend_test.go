package lease_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/lease/leasetest"
	"github.com/strata-oci/strata/proxy/replicas/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLocal(t *testing.T) {
	t.Parallel()
	leasetest.Run(t, func(t *testing.T, test func(*testing.T, leasetest.Subject)) {
		synctest.Test(t, func(t *testing.T) {
			b := lease.NewLocal()
			test(t, leasetest.Subject{Open: func() lease.Backend { return b }, Pass: time.Sleep})
		})
	})
}

// shift moves what a Redis keeps towards its end instead of waiting: a step of time for leases.
func shift(t *testing.T, client *redis.Client, d time.Duration) {
	ctx := t.Context()
	keys, err := client.Keys(ctx, "*lease:*").Result()
	if err != nil {
		t.Error(err)
	}
	for _, key := range keys {
		left, err := client.PTTL(ctx, key).Result()
		if err != nil {
			t.Error(err)
		}
		if left < 0 {
			t.Errorf("key %q has no time to live", key)
		}
		// Redis deletes a key whose time is set to the past.
		if err := client.PExpire(ctx, key, left-d).Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	t.Cleanup(func() { _ = client.Close() })
	var n atomic.Int32
	for name, wrap := range map[string]func(lease.Backend) lease.Backend{
		"plain": func(b lease.Backend) lease.Backend { return b },
		// Only what several processes share is put to the test: each has an Alone of its own.
		"alone": func(b lease.Backend) lease.Backend { return lease.NewAlone(b) },
	} {
		t.Run(name, func(t *testing.T) {
			leasetest.Run(t, func(t *testing.T, test func(*testing.T, leasetest.Subject)) {
				prefix := fmt.Sprintf("test%d:", n.Add(1))
				test(t, leasetest.Subject{
					Open: func() lease.Backend { return wrap(lease.NewRedis(client, prefix)) },
					Pass: func(d time.Duration) {
						if d < time.Second {
							time.Sleep(d)
							return
						}
						shift(t, client, d)
					},
				})
			})
		})
	}
}
