package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/distribution/distribution/v3/registry/auth"

	"github.com/strata-oci/strata/proxy/livefile"
)

// A login with bcrypt takes the processor for a good part of a second by design, so a flood of them must not get it.
const (
	verifiedFor = 5 * time.Minute  // a password that was right is believed
	refusedFor  = 10 * time.Second // and one that was wrong is refused without looking
	maxVerified = 10_000           // passwords remembered of either kind
	maxWaiting  = 128              // logins that wait for being checked
	longestWait = 10 * time.Second // which they do at most
	maxPassword = 1024             // bytes; bcrypt looks at 72
)

// Passwords checks user names and passwords against a file of bcrypt hashes. It is safe for concurrent use.
type Passwords struct {
	copy     htpasswdFile
	file     *livefile.File[*passwordSet]
	slots    chan struct{} // being checked
	waiting  chan struct{} // and waiting for that
	failures *failures
	now      func() time.Time
}

// passwordSet is what one content of the file stands for, with what was found out about it.
type passwordSet struct {
	controller        auth.AccessController
	key               []byte // of the MAC that stands for a password in memory
	verified, refused *memory
}

// NewPasswords reads a password file; dir is for a private copy of it. Close it.
func NewPasswords(path, dir string, log *slog.Logger) (*Passwords, error) {
	private, err := newHtpasswdFile(dir)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	p := &Passwords{
		copy: private, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), waiting: make(chan struct{}, maxWaiting),
		failures: newFailures(), now: time.Now,
	}
	p.file, err = livefile.New([]string{path}, p.parse, livefile.Options{What: "password file", Logger: log})
	if err != nil {
		_ = private.remove()
		return nil, fmt.Errorf("password file %s: %w", path, err)
	}
	return p, nil
}

// Close removes the private copy.
func (p *Passwords) Close() error { return p.copy.remove() }

func (p *Passwords) parse(contents [][]byte) (*passwordSet, error) {
	c, err := p.copy.controller(contents[0])
	if err != nil {
		return nil, err
	}
	s := &passwordSet{controller: c, key: make([]byte, sha256.Size), verified: newMemory(maxVerified, verifiedFor), refused: newMemory(maxVerified, refusedFor)}
	_, _ = rand.Read(s.key) // it never fails
	return s, nil
}

// Check returns nil for the password of a user, ErrDenied for anything else, and a *BusyError when it could not be looked at. from is
// who asks: after some failures for one user from there, it has to wait.
func (p *Passwords) Check(ctx context.Context, user, password, from string) error {
	if len(password) > maxPassword || len(user) > maxPassword {
		return ErrDenied
	}
	set := p.file.Get()
	mac := set.mac(user, password)
	if known, err := set.remembered(mac, p.now()); known {
		return err
	}
	who := from + " " + user
	if wait := p.failures.wait(who, p.now()); wait > 0 {
		return &BusyError{RetryAfter: wait}
	}
	leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	// Others may have brought the same password while this one waited, or wrong ones.
	if known, err := set.remembered(mac, p.now()); known {
		return err
	}
	if wait := p.failures.wait(who, p.now()); wait > 0 {
		return &BusyError{RetryAfter: wait}
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	grant, _, err := authorize(ctx, set.controller, basic)
	if err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	if grant == nil {
		set.refused.add(mac, p.now())
		p.failures.note(who, p.now())
		return ErrDenied
	}
	set.verified.add(mac, p.now())
	return nil
}

// enter waits for a place among the logins that are checked at once.
func (p *Passwords) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return nil, &BusyError{RetryAfter: longestWait}
	}
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, &BusyError{RetryAfter: longestWait}
	}
}

// mac stands for a user's password without giving it away.
func (s *passwordSet) mac(user, password string) [sha256.Size]byte {
	h := hmac.New(sha256.New, s.key)
	fmt.Fprintf(h, "%d:%s:%s", len(user), user, password)
	return [sha256.Size]byte(h.Sum(nil))
}

func (s *passwordSet) remembered(mac [sha256.Size]byte, now time.Time) (known bool, err error) {
	if s.verified.has(mac, now) {
		return true, nil
	}
	if s.refused.has(mac, now) {
		return true, ErrDenied
	}
	return false, nil
}
