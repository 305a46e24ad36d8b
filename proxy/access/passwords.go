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
	verifiedFor = 24 * time.Hour   // a password that was right is believed, as long as the file stays the same
	refusedFor  = 10 * time.Second // and one that was wrong is refused without looking
	maxVerified = 10_000           // passwords remembered of either kind
	maxPassword = 1024             // bytes; bcrypt looks at 72
)

// Passwords checks user names and passwords against a file of bcrypt hashes. It is safe for concurrent use.
//
// It looks at one password from each address at a time, the newest first, and after some wrong ones from there at one in
// half a second. So whoever guesses gets little, and the right password gets in even from an address that others guess from:
// at once when it was right before, else with the next look.
type Passwords struct {
	file     *livefile.File[*passwordSet]
	lanes    *lanes
	slots    chan struct{} // being looked at
	failures *failures
}

// passwordSet is what one content of the file stands for, with what was found out about it.
type passwordSet struct {
	hashes            *hashes
	key               []byte // of the MAC that stands for a password in memory
	verified, refused *memory
}

// NewPasswords reads a password file.
func NewPasswords(path string, log *slog.Logger) (*Passwords, error) {
	p := &Passwords{
		lanes: newLanes(), slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), failures: newFailures(),
	}
	var err error
	p.file, err = livefile.New([]string{path}, parsePasswords, livefile.Options{What: "password file", Logger: log})
	if err != nil {
		return nil, fmt.Errorf("password file %s: %w", path, err)
	}
	return p, nil
}

func parsePasswords(contents [][]byte) (*passwordSet, error) {
	h, err := parseHtpasswd(contents[0])
	if err != nil {
		return nil, err
	}
	s := &passwordSet{
		hashes: h, key: make([]byte, sha256.Size),
		verified: newMemory(maxVerified, verifiedFor), refused: newMemory(maxVerified, refusedFor),
	}
	_, _ = rand.Read(s.key) // it never fails
	return s, nil
}

// Check returns nil for the password of a user, ErrDenied for anything else, and a *BusyError when it could not be looked
// at. from is who asks.
func (p *Passwords) Check(ctx context.Context, user, password string, from netip.Addr) error {
	if len(password) > maxPassword || len(user) > maxPassword {
		return ErrDenied
	}
	set := p.file.Get()
	mac := set.mac(user, password)
	if known, err := set.remembered(mac); known {
		return err
	}
	leave, err := p.lanes.enter(ctx, from)
	if err != nil {
		return err
	}
	// Others may have brought the same password while this one waited.
	if known, err := set.remembered(mac); known {
		leave()
		return err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		leave()
		return ctx.Err()
	}
	right := set.hashes.match(user, password)
	<-p.slots
	if right {
		set.verified.add(mac, time.Now())
		leave()
		return nil
	}
	set.refused.add(mac, time.Now())
	if p.failures.note(from, time.Now()) {
		time.AfterFunc(failurePause, leave) // whoever leaves does not shorten it
	} else {
		leave()
	}
	return ErrDenied
}

// mac stands for a user's password without giving it away.
func (s *passwordSet) mac(user, password string) [sha256.Size]byte {
	h := hmac.New(sha256.New, s.key)
	fmt.Fprintf(h, "%d:%s:%s", len(user), user, password)
	return [sha256.Size]byte(h.Sum(nil))
}

func (s *passwordSet) remembered(mac [sha256.Size]byte) (known bool, err error) {
	now := time.Now()
	if s.verified.has(mac, now) {
		return true, nil
	}
	if s.refused.has(mac, now) {
		return true, ErrDenied
	}
	return false, nil
}
