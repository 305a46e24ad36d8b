// Package replicas is the connection to what several proxies on one store share: a Redis, with leases and counters in it.
//
// Nothing that is served depends on it. A Redis that does not answer costs one short wait; after that, commands fail at once
// until it answers again, and whoever asked goes on alone.
package replicas

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/strata-oci/strata/proxy/background"
)

// ErrDown says that Redis did not answer a moment ago and was not asked again.
var ErrDown = errors.New("redis does not answer")

// Times of a command. A Redis in the same network answers in less than a millisecond.
const (
	dialTimeout    = time.Second
	commandTimeout = time.Second
	// firstProbe and longProbe bound how often a Redis that is down is asked whether it is back.
	firstProbe = 100 * time.Millisecond
	longProbe  = 5 * time.Second
)

// Options say where Redis is. Address is needed.
type Options struct {
	// Address is "host:port", or "unix://" and the path of a socket.
	Address string
	// Username may be empty where there is a password.
	Username string
	// Password is asked for at each connection; nil means none.
	Password func() (string, error)
	// Database is the number of the database.
	Database int
	// TLS is nil for a connection that is not encrypted.
	TLS *tls.Config
	// Logger hears when Redis goes and comes; nil discards that.
	Logger *slog.Logger
	// Changed is told when Redis goes and comes, and once at the beginning; may be nil.
	Changed func(up bool)
}

// Conn is a connection to Redis that does not wait for one that is down. It is safe for concurrent use.
type Conn struct {
	client  *redis.Client
	log     *slog.Logger
	changed func(up bool)
	address string

	work *background.Group

	mu    sync.Mutex
	down  error // why it is down, or nil
	since time.Time
}

// Open makes a connection. Redis need not be there: it is asked at once, and until it answers it counts as down.
func Open(ctx context.Context, o Options) *Conn {
	c := &Conn{log: o.Logger, changed: o.Changed, address: o.Address, since: time.Now()}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.changed == nil {
		c.changed = func(bool) {}
	}
	c.work = background.New(background.Options{Logger: c.log})
	c.client = redis.NewClient(clientOptions(o))
	c.client.AddHook(breaker{c})
	c.changed(true)
	if err := c.client.Ping(ctx).Err(); err != nil && c.Err() == nil {
		c.fail(err) // a password that is wrong, say
	}
	return c
}

func clientOptions(o Options) *redis.Options {
	out := &redis.Options{
		Network: "tcp", Addr: o.Address, Username: o.Username, DB: o.Database, TLSConfig: o.TLS,
		DialTimeout: dialTimeout, ReadTimeout: commandTimeout, WriteTimeout: commandTimeout, PoolTimeout: commandTimeout,
		ContextTimeoutEnabled: true,
		// One more try, for a connection that Redis closed meanwhile.
		MaxRetries: 1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 10 * time.Millisecond, DialerRetries: 1,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if socket, ok := strings.CutPrefix(o.Address, "unix://"); ok {
		out.Network, out.Addr = "unix", socket
	}
	if o.Password != nil {
		out.CredentialsProviderContext = func(context.Context) (string, string, error) {
			password, err := o.Password()
			return o.Username, password, err
		}
	}
	return out
}

// Client returns the client. Its commands fail with ErrDown while Redis is down.
func (c *Conn) Client() redis.UniversalClient { return c.client }

// Err returns why Redis is down, or nil.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// Since returns when Redis went or came.
func (c *Conn) Since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// Close ends the connection.
func (c *Conn) Close() error {
	return errors.Join(c.work.Close(context.Background()), c.client.Close())
}

// fail notes that Redis does not answer, and begins to ask whether it is back.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil || !c.work.Go("redis", c.probe) {
		return
	}
	c.down, c.since = err, time.Now()
	c.log.Warn("redis does not answer, this replica goes on alone", "address", c.address, "error", err)
	c.changed(false)
}

// probe waits until Redis is back.
func (c *Conn) probe(ctx context.Context) {
	for wait := firstProbe; ; wait = min(2*wait, longProbe) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if c.client.Ping(context.WithValue(ctx, probing{}, true)).Err() == nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Info("redis answers again", "address", c.address, "seconds", time.Since(c.since).Seconds())
	c.down, c.since = nil, time.Now()
	c.changed(true)
}

// probing marks the context of a command that is to reach a Redis that is down.
type probing struct{}

// refuse returns the error of a command that is not to be tried.
func (c *Conn) refuse(ctx context.Context) error {
	if ctx.Value(probing{}) != nil {
		return nil
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return nil
}

// note looks at the outcome of a command.
func (c *Conn) note(ctx context.Context, err error) {
	if err != nil && ctx.Value(probing{}) == nil && outage(ctx, err) {
		c.fail(err)
	}
}
