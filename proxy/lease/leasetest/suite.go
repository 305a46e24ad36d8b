// Package leasetest is the conformance suite of lease backends.
package leasetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/lease"
)

// Subject is a backend under test.
type Subject struct {
	// Open returns a backend; two of one Subject share their leases.
	Open func() lease.Backend
	// Pass lets time go by, for leases and for the test.
	Pass func(time.Duration)
}

const ttl = time.Minute

// Run tests what every backend has to do. Each test gets a Subject of its own.
func Run(t *testing.T, run func(t *testing.T, test func(*testing.T, Subject))) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, Subject)
	}{
		{"one holder", oneHolder}, {"free", free}, {"expiry", expiry}, {"renewal", renewal}, {"late renewal", lateRenewal},
		{"forgotten", forgotten},
		{"tokens grow", tokensGrow}, {"keys", keys}, {"ended context", endedContext}, {"contention", contention},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, c.test) })
	}
}

func take(t *testing.T, b lease.Backend, key, owner string) lease.Grant {
	t.Helper()
	grant, err := b.Take(t.Context(), key, owner, ttl)
	if err != nil {
		t.Fatalf("%s takes %q: %v", owner, key, err)
	}
	if grant.Key != key || grant.Owner != owner {
		t.Errorf("%s takes %q and gets %+v", owner, key, grant)
	}
	return grant
}

func want(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func oneHolder(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	held := take(t, a, "k", "ann")
	_, err := b.Take(t.Context(), "k", "bob", ttl)
	want(t, err, lease.ErrHeld)
	want(t, b.Renew(t.Context(), lease.Grant{Key: "k", Owner: "bob", Token: held.Token + 1}, ttl), lease.ErrLost)
	want(t, a.Renew(t.Context(), held, ttl), nil)
	if first, again := take(t, a, "other", "ann"), take(t, b, "other", "ann"); again.Token <= first.Token {
		t.Errorf("taken again: token %d after %d", again.Token, first.Token)
	}
}

func free(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	ann := take(t, a, "k", "ann")
	want(t, b.Free(t.Context(), lease.Grant{Key: "k", Owner: "bob", Token: ann.Token}), nil)
	want(t, a.Renew(t.Context(), ann, ttl), nil)
	want(t, a.Free(t.Context(), ann), nil)
	want(t, a.Free(t.Context(), ann), nil)
	want(t, a.Renew(t.Context(), ann, ttl), lease.ErrLost)
	bob := take(t, b, "k", "bob")
	want(t, a.Free(t.Context(), ann), nil)
	want(t, b.Renew(t.Context(), bob, ttl), nil)
}

func expiry(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	ann := take(t, a, "k", "ann")
	s.Pass(ttl - ttl/10)
	_, err := b.Take(t.Context(), "k", "bob", ttl)
	want(t, err, lease.ErrHeld)
	s.Pass(ttl / 5)
	take(t, b, "k", "bob")
	want(t, a.Renew(t.Context(), ann, ttl), lease.ErrLost)
	_, err = a.Take(t.Context(), "k", "ann", ttl)
	want(t, err, lease.ErrHeld)
}

func renewal(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	ann := take(t, a, "k", "ann")
	for range 3 {
		s.Pass(ttl / 2)
		want(t, a.Renew(t.Context(), ann, ttl), nil)
	}
	_, err := b.Take(t.Context(), "k", "bob", ttl)
	want(t, err, lease.ErrHeld)
}

// A holder whose time passed has lost nothing until another came, even when that one has left again.
func lateRenewal(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	ann := take(t, a, "k", "ann")
	s.Pass(2 * ttl)
	want(t, a.Renew(t.Context(), ann, ttl), nil)
	_, err := b.Take(t.Context(), "k", "bob", ttl)
	want(t, err, lease.ErrHeld)
	s.Pass(2 * ttl)
	bob := take(t, b, "k", "bob")
	want(t, b.Free(t.Context(), bob), nil)
	want(t, a.Renew(t.Context(), ann, ttl), lease.ErrLost)
}

// A lease that the backend never heard of, because it lost its memory or was away, is held from its renewal on.
func forgotten(t *testing.T, s Subject) {
	a, b := s.Open(), s.Open()
	ann := lease.Grant{Key: "k", Owner: "ann", Token: take(t, a, "other", "ann").Token}
	want(t, a.Renew(t.Context(), ann, ttl), nil)
	_, err := b.Take(t.Context(), "k", "bob", ttl)
	want(t, err, lease.ErrHeld)
	want(t, a.Free(t.Context(), ann), nil)
	if bob := take(t, b, "k", "bob"); bob.Token <= ann.Token {
		t.Errorf("token %d after %d", bob.Token, ann.Token)
	}
}

func tokensGrow(t *testing.T, s Subject) {
	last := lease.Token(0)
	for i := range 20 {
		b, owner := s.Open(), fmt.Sprint(i)
		grant := take(t, b, "k", owner)
		if grant.Token <= last {
			t.Errorf("lease %d: token %d after %d", i, grant.Token, last)
		}
		last = grant.Token
		if i%2 == 0 {
			want(t, b.Free(t.Context(), grant), nil)
		} else {
			s.Pass(2 * ttl)
		}
	}
}

func keys(t *testing.T, s Subject) {
	b := s.Open()
	for _, key := range []string{"", "k", "K", "k ", "a:b", "a{b}c", "}", "%d", "\x00\n", "ghcr.io/a/b linux/amd64",
		strings.Repeat("long/", 500)} {
		ann := take(t, b, key, "ann")
		_, err := b.Take(t.Context(), key, "bob", ttl)
		want(t, err, lease.ErrHeld)
		want(t, b.Renew(t.Context(), ann, ttl), nil)
	}
}

func endedContext(t *testing.T, s Subject) {
	b := s.Open()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := b.Take(ctx, "k", "ann", ttl); err == nil {
		t.Error("taken with an ended context")
	}
	bob := take(t, b, "k", "bob")
	if err := b.Renew(ctx, bob, ttl); err == nil {
		t.Error("renewed with an ended context")
	}
}

// contention has many owners take one key in turn: never two at once, and tokens in the order of the turns.
func contention(t *testing.T, s Subject) {
	var holders, turns atomic.Int32
	var last atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b, owner := s.Open(), fmt.Sprint(i)
			for done := 0; done < 5; {
				grant, err := b.Take(t.Context(), "k", owner, ttl)
				if errors.Is(err, lease.ErrHeld) {
					s.Pass(time.Millisecond)
					continue
				}
				if err != nil {
					t.Errorf("take: %v", err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders at once", n)
				}
				if before := last.Swap(int64(grant.Token)); before >= int64(grant.Token) {
					t.Errorf("token %d after %d", grant.Token, before)
				}
				done++
				turns.Add(1)
				holders.Add(-1)
				want(t, b.Free(t.Context(), grant), nil)
			}
		})
	}
	wg.Wait()
	if turns.Load() != 40 {
		t.Errorf("%d turns, want 40", turns.Load())
	}
}
