package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var here, elsewhere = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")

func openPasswords(t *testing.T, file string) (*Passwords, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	p, err := NewPasswords(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return p, &log
}

func TestHtpasswdRefused(t *testing.T) {
	t.Parallel()
	good := strings.TrimSpace(strings.TrimPrefix(entry(t, "a", "b", bcrypt.MinCost), "a:"))
	for content, want := range map[string]string{
		"":                                     "it has no users",
		"# nobody\n":                           "it has no users",
		"\nsecret\n":                           "line 2: it is not a user name",
		":" + good:                             "line 1: it is not a user name",
		"a:{SHA}secret":                        "line 1: the hash is not bcrypt's",
		"a:" + good[:40]:                       "line 1: the hash is not bcrypt's",
		"a:" + good + "\na:" + good:            "line 2: the user stands in line 1",
		"a:$2y$31$" + good[len("$2a$04$"):]:    "line 1: the hash has the cost 31",
		"a:$2y$99$" + good[len("$2a$04$"):]:    "line 1: the hash is not bcrypt's",
		"a:" + good + "\nb:" + good + "secret": "line 2: the hash is not bcrypt's",
	} {
		_, err := NewPasswords(put(t, "htpasswd", content), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", content, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := NewPasswords(missing, nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was made")
	}
}

// A change counts at once, for passwords that were verified before, too; a broken file leaves the one before.
func TestHtpasswdReload(t *testing.T) {
	t.Parallel()
	file := put(t, "htpasswd", entry(t, "alice", "old", bcrypt.MinCost))
	p, log := openPasswords(t, file)
	now := time.Now()
	p.file.Now = func() time.Time { return now }
	check := func(password string, want error) {
		t.Helper()
		now = now.Add(2 * time.Second)
		if err := p.Check(t.Context(), "alice", password, here); !errors.Is(err, want) {
			t.Errorf("%s: %v", password, err)
		}
	}
	replace := func(content string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	check("old", nil)
	check("new", ErrDenied)
	replace("alice:broken-hash")
	check("old", nil)
	check("old", nil)
	if s := log.String(); strings.Count(s, "cannot be used") != 1 || strings.Contains(s, "broken-hash") {
		t.Error(s)
	}
	replace(entry(t, "alice", "new", bcrypt.MinCost))
	check("old", ErrDenied)
	check("new", nil)
}

// outcomes are how many logins ended how.
type outcomes struct{ right, wrong, busy int }

// flood logs alice in from one address, many times at once.
func flood(t *testing.T, p *Passwords, n int, password func(i int) string) (got outcomes) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			err := p.Check(context.Background(), "alice", password(i), here)
			var b *BusyError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				got.right++
			case errors.Is(err, ErrDenied):
				got.wrong++
			case errors.As(err, &b) && b.RetryAfter > 0:
				got.busy++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return got
}

func wrong(i int) string { return fmt.Sprint("wrong", i) }

// A fleet that logs in with one password costs one bcrypt, and a flood of wrong ones is bounded.
func TestFlood(t *testing.T) {
	t.Parallel()
	file := put(t, "htpasswd", entry(t, "alice", "right", bcrypt.MinCost))
	synctest.Test(t, func(t *testing.T) {
		p, _ := openPasswords(t, file)
		if got := flood(t, p, 100, func(int) string { return "right" }); got.right != 100 {
			t.Errorf("%+v", got)
		}
		got := flood(t, p, maxWaiting, wrong)
		if got.right != 0 || got.wrong < mostFailures || got.busy == 0 {
			t.Errorf("%+v", got)
		}
		// Who is known still gets in, and so does anybody from elsewhere.
		start := time.Now()
		if err := p.Check(t.Context(), "alice", "right", here); err != nil || time.Now() != start {
			t.Error(err, time.Since(start))
		}
		if err := p.Check(t.Context(), "alice", "wrong", elsewhere); !errors.Is(err, ErrDenied) || time.Now() != start {
			t.Error(err, time.Since(start))
		}
		time.Sleep(failureWindow)
		start = time.Now()
		if err := p.Check(t.Context(), "alice", "other", here); !errors.Is(err, ErrDenied) || time.Now() != start {
			t.Errorf("after the window: %v after %s", err, time.Since(start))
		}
	})
}

// The right password gets in though others guess from the same address, also when it was never seen before, and no one
// else's turn is waited for. Guesses get no more than a turn in half a second.
func TestRightPasswordIsNotLockedOut(t *testing.T) {
	t.Parallel()
	file := put(t, "htpasswd", entry(t, "alice", "right", bcrypt.MinCost)+entry(t, "bob", "right", bcrypt.MinCost))
	for _, user := range []string{"alice", "bob"} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := openPasswords(t, file)
			var guesses outcomes
			var flooding sync.WaitGroup
			flooding.Go(func() { guesses = flood(t, p, 3*maxWaiting, wrong) })
			time.Sleep(failurePause / 2)
			synctest.Wait()
			start := time.Now()
			if err := p.Check(t.Context(), user, "right", here); err != nil || time.Since(start) > failurePause {
				t.Errorf("%s: %v after %s", user, err, time.Since(start))
			}
			flooding.Wait()
			if most := mostFailures + 1 + int(longestWait/failurePause); guesses.wrong > most ||
				guesses.busy < 3*maxWaiting-most {
				t.Errorf("%+v", guesses)
			}
			time.Sleep(failureWindow) // all turns end
			if n := len(p.brake.lanes.waiting); n > 0 {
				t.Errorf("%d addresses are remembered", n)
			}
		})
	}
}

// Who leaves does not shorten the pause after a wrong password, nor hold the turn of who comes next.
func TestLeavingClients(t *testing.T) {
	t.Parallel()
	file := put(t, "htpasswd", entry(t, "alice", "right", bcrypt.MinCost))
	synctest.Test(t, func(t *testing.T) {
		p, _ := openPasswords(t, file)
		flood(t, p, mostFailures+1, wrong)
		start := time.Now()
		for i := range 100 {
			ctx, leave := context.WithCancel(t.Context())
			go func() { _ = p.Check(ctx, "alice", wrong(1000+i), here) }()
			synctest.Wait()
			leave()
			synctest.Wait()
		}
		if err := p.Check(t.Context(), "alice", "right", here); err != nil || time.Since(start) > failurePause {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	m := newMemory(2, time.Minute)
	now := time.Unix(1, 0)
	for i := range byte(3) {
		m.add([32]byte{i}, now)
	}
	if m.has([32]byte{0}, now) || !m.has([32]byte{2}, now) || m.has([32]byte{2}, now.Add(time.Minute)) {
		t.Error("it remembers other things than it should")
	}
}
