package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/strata-oci/strata/proxy/livefile"
)

// A login with bcrypt takes the processor for a good part of a second by design, so a flood of them must not get it.
const (
	verifiedFor = 24 * time.Hour   // a password that was right is believed, as long as the user's hash stays the same
	refusedFor  = 10 * time.Second // and one that was wrong is refused without looking
	maxVerified = 10_000           // passwords remembered of either kind
	maxPassword = 1024             // bytes; bcrypt looks at 72
)

// Passwords checks user names and passwords against a file of bcrypt hashes. It is safe for concurrent use.
//
// A brake is on what has to be looked at. So whoever guesses gets little, and the right password gets in even from an
// address that others guess from: at once when it was right before and the user's hash is the same still, else with the
// next look.
type Passwords struct {
	file  *livefile.File[*hashes]
	known *knownPasswords
	brake *brake
	slots chan struct{} // being looked at
}

// knownPasswords is what was found out about passwords. It outlives the files that they were held against, since it is
// remembered of a user's password and hash.
type knownPasswords struct {
	key             []byte // of the MAC that stands for them in memory
	right, refusals *memory
}

func newKnownPasswords() *knownPasswords {
	k := &knownPasswords{
		key:   make([]byte, sha256.Size),
		right: newMemory(maxVerified, verifiedFor), refusals: newMemory(maxVerified, refusedFor),
	}
	_, _ = rand.Read(k.key) // it never fails
	return k
}

// NewPasswords reads a password file.
func NewPasswords(path string, log *slog.Logger) (*Passwords, error) {
	return newPasswords(path, newKnownPasswords(), newBrake(maxWaiting), log)
}

func newPasswords(path string, known *knownPasswords, b *brake, log *slog.Logger) (*Passwords, error) {
	p := &Passwords{known: known, brake: b, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	parse := func(contents [][]byte) (*hashes, error) { return parseHtpasswd(contents[0]) }
	var err error
	if p.file, err = livefile.New([]string{path}, parse, livefile.Options{What: "password file", Logger: log}); err != nil {
		return nil, fmt.Errorf("password file %s: %w", path, err)
	}
	return p, nil
}

// Check returns nil for the password of a user, ErrDenied for anything else, and a *BusyError when it could not be looked
// at. from is who asks.
func (p *Passwords) Check(ctx context.Context, user, password string, from netip.Addr) error {
	if len(password) > maxPassword || len(user) > maxPassword {
		return ErrDenied
	}
	set := p.file.Get()
	mac := p.known.mac(user, password, set.of[user])
	if known, err := p.known.remembers(mac); known {
		return err
	}
	return p.brake.try(ctx, from, func() (bool, error) {
		// Others may have brought the same password while this one waited.
		if known, err := p.known.remembers(mac); known {
			return err == nil, err
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		right := set.match(user, password)
		<-p.slots
		p.known.learn(mac, right)
		return right, nil
	})
}

// mac stands for a user's password, as it is held against a hash, without giving it away.
func (k *knownPasswords) mac(user, password string, hash []byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, k.key)
	fmt.Fprintf(h, "%d:%d:%s:%s%s", len(user), len(hash), user, hash, password)
	return [sha256.Size]byte(h.Sum(nil))
}

func (k *knownPasswords) learn(mac [sha256.Size]byte, right bool) {
	if right {
		k.right.add(mac, time.Now())
		return
	}
	k.refusals.add(mac, time.Now())
}

func (k *knownPasswords) remembers(mac [sha256.Size]byte) (known bool, err error) {
	now := time.Now()
	if k.right.has(mac, now) {
		return true, nil
	}
	if k.refusals.has(mac, now) {
		return true, ErrDenied
	}
	return false, nil
}
