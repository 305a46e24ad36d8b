package lease

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis keeps leases in a Redis, for all processes that use it. What it writes is in docs/formats.md, section Redis.
type Redis struct {
	client redis.Scripter
	prefix string
}

var _ Backend = (*Redis)(nil)

// NewRedis returns a backend on a client. The prefix begins all keys. The client's own timeouts bound each call; its errors
// are wrapped in ErrUnavailable.
func NewRedis(client redis.Scripter, prefix string) *Redis {
	return &Redis{client: client, prefix: prefix}
}

// tokenTTL is how long a token is remembered after its lease was taken or renewed. After that the clock has passed it.
const tokenTTL = 24 * time.Hour

// The scripts run as a whole or not at all. A cluster runs them where both keys lie, hence the braces in keys.
const (
	takeScript = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return '' end
local now = redis.call('TIME')
local token = now[1] * 1000000 + now[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if token <= last then token = last + 1 end
token = string.format('%.0f', token)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], token, 'PX', ARGV[3])
return token`
	renewScript = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
return 1`
	freeScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])`
)

// Take implements Backend.
func (r *Redis) Take(ctx context.Context, key, owner string, ttl time.Duration) (Grant, error) {
	answer, err := r.run(ctx, takeScript, key, owner, ttl.Milliseconds(), tokenTTL.Milliseconds()).Text()
	if err != nil {
		return Grant{}, unavailable(err)
	}
	if answer == "" {
		return Grant{}, ErrHeld
	}
	token, err := strconv.ParseInt(answer, 10, 64)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: token %q is no number", ErrUnavailable, answer)
	}
	return Grant{key, owner, Token(token)}, nil
}

// Renew implements Backend.
func (r *Redis) Renew(ctx context.Context, g Grant, ttl time.Duration) error {
	n, err := r.run(ctx, renewScript, g.Key, g.Owner, ttl.Milliseconds(), tokenTTL.Milliseconds(), int64(g.Token)).Int()
	if err != nil {
		return unavailable(err)
	}
	if n == 0 {
		return ErrLost
	}
	return nil
}

// Free implements Backend.
func (r *Redis) Free(ctx context.Context, g Grant) error {
	if err := r.run(ctx, freeScript, g.Key, g.Owner, tokenTTL.Milliseconds()).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// run runs a script on who holds a lease and on the greatest token of its key.
func (r *Redis) run(ctx context.Context, script, key string, args ...any) *redis.Cmd {
	keys := []string{r.prefix + "lease:{" + key + "}", r.prefix + "token:{" + key + "}"}
	return redis.NewScript(script).Run(ctx, r.client, keys, args...)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
