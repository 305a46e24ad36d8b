package lease

import (
	"context"
	"sync"
	"time"
)

// Local keeps leases in this process's memory. The zero value is not usable; NewLocal makes one.
type Local struct {
	mu     sync.Mutex
	held   map[string]local
	tokens map[string]Token // the greatest of each key, see remember
}

var _ Backend = (*Local)(nil)

type local struct {
	owner string
	until time.Time
}

// NewLocal returns a backend without leases.
func NewLocal() *Local { return &Local{held: map[string]local{}, tokens: map[string]Token{}} }

// Take implements Backend.
func (l *Local) Take(ctx context.Context, key, owner string, ttl time.Duration) (Grant, error) {
	if ctx.Err() != nil {
		return Grant{}, context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if h, ok := l.held[key]; ok && h.owner != owner && now.Before(h.until) {
		return Grant{}, ErrHeld
	}
	l.held[key] = local{owner, now.Add(ttl)}
	token := max(Token(now.UnixMicro()), l.tokens[key]+1)
	l.remember(key, token, now)
	return Grant{key, owner, token}, nil
}

// maxTokens bounds the tokens in memory. They are needed only while the clock has not passed them.
const maxTokens = 1000

func (l *Local) remember(key string, token Token, now time.Time) {
	if len(l.tokens) >= maxTokens {
		for k, t := range l.tokens {
			if t < Token(now.UnixMicro()) {
				delete(l.tokens, k)
			}
		}
	}
	l.tokens[key] = token
}

// Renew implements Backend.
func (l *Local) Renew(ctx context.Context, g Grant, ttl time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	h, held := l.held[g.Key]
	if held && h.owner != g.Owner || l.tokens[g.Key] > g.Token {
		return ErrLost
	}
	l.held[g.Key] = local{g.Owner, now.Add(ttl)}
	l.remember(g.Key, g.Token, now)
	return nil
}

// Free implements Backend.
func (l *Local) Free(_ context.Context, g Grant) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[g.Key].owner == g.Owner {
		delete(l.held, g.Key)
		l.remember(g.Key, l.tokens[g.Key]+1, time.Now()) // it can't be renewed any more
	}
	return nil
}

// adopt gives a lease that is held here the token that another backend gave it.
func (l *Local) adopt(g Grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[g.Key] = g.Token
}
