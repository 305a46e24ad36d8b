package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func newPasswords(t *testing.T, file, dir string) (*Passwords, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	p, err := NewPasswords(file, dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
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
		dir := t.TempDir()
		_, err := NewPasswords(put(t, "htpasswd", content), dir, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", content, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%q left %v behind", content, left)
		}
	}
	// Distribution would make a file with a user of its own.
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := NewPasswords(missing, t.TempDir(), nil); !errors.Is(err, os.ErrNotExist) {
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
	p, log := newPasswords(t, file, t.TempDir())
	now := time.Now()
	p.file.Now = func() time.Time { return now }
	check := func(password string, want error) {
		t.Helper()
		now = now.Add(2 * time.Second)
		if err := p.Check(t.Context(), "alice", password, "10.0.0.1"); !errors.Is(err, want) {
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

// A fleet that logs in with one password costs one bcrypt, and a flood of wrong ones is bounded.
func TestFlood(t *testing.T) {
	t.Parallel()
	p, _ := newPasswords(t, put(t, "htpasswd", entry(t, "alice", "right", bcrypt.MinCost)), t.TempDir())
	flood := func(n int, password func(i int) string) (right, wrong, busy int) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range n {
			wg.Go(func() {
				err := p.Check(context.Background(), "alice", password(i), "10.0.0.1")
				var b *BusyError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					right++
				case errors.Is(err, ErrDenied):
					wrong++
				case errors.As(err, &b) && b.RetryAfter > 0:
					busy++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return
	}
	if right, wrong, busy := flood(100, func(int) string { return "right" }); right != 100 {
		t.Errorf("%d right, %d wrong, %d busy", right, wrong, busy)
	}
	right, wrong, busy := flood(maxWaiting, func(i int) string { return fmt.Sprint("wrong", i) })
	if right != 0 || wrong < mostFailures || busy == 0 {
		t.Errorf("%d right, %d wrong, %d busy", right, wrong, busy)
	}
	// Who is known still gets in, and so does anybody from elsewhere.
	if err := p.Check(t.Context(), "alice", "right", "10.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := p.Check(t.Context(), "alice", "wrong", "10.0.0.2"); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	later := time.Now().Add(failureWindow)
	p.now = func() time.Time { return later }
	if err := p.Check(t.Context(), "alice", "other", "10.0.0.1"); !errors.Is(err, ErrDenied) {
		t.Errorf("after the window: %v", err)
	}
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
