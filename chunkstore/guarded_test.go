package chunkstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
)

// onOutage opens a store with a limit of a second on a backend that can go away.
func onOutage(t *testing.T) (*chunkstore.Store, *storetest.Outage, *bytes.Buffer) {
	t.Helper()
	driver, log := storetest.NewOutage(inmemory.New()), &bytes.Buffer{}
	s, err := chunkstore.New(driver, chunkstore.Options{CallLimit: time.Second,
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	driver.Calls()
	return s, driver, log
}

// A backend that hangs costs each of the first calls the limit, and later ones nothing; it is tried now and then, and one
// line tells of its end, one of its return.
func TestBackendHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, driver, log := onOutage(t)
		if err := s.PutRecord(t.Context(), "tag", "a", []byte("1")); err != nil {
			t.Fatal(err)
		}
		driver.Set(storetest.Hangs)
		get := func() (time.Duration, error) {
			start := time.Now()
			_, err := s.GetRecord(t.Context(), "tag", "a")
			return time.Since(start), err
		}
		for i := range 20 {
			took, err := get()
			if !errors.Is(err, chunkstore.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("call %d: %v", i, err)
			}
			if want := time.Second; i < 2 && took != want || i >= 2 && took != 0 {
				t.Errorf("call %d took %s", i, took)
			}
		}
		if _, err := get(); err.Error() != `get record tag "a": the storage cannot be reached: no answer within 1s` {
			t.Errorf("%q", err)
		}
		driver.Calls()
		for range 600 { // ten a second
			time.Sleep(time.Second / 10)
			_, _ = get()
		}
		if n := driver.Calls()["Reader"]; n < 10 || n > 35 {
			t.Errorf("%d of 600 calls tried", n)
		}
		if s.Check(t.Context()) == nil {
			t.Error("it counts as ready")
		}
		driver.Set(storetest.Up)
		time.Sleep(3 * time.Second)
		if _, err := get(); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
}

func TestBackendRefuses(t *testing.T) {
	t.Parallel()
	s, driver, _ := onOutage(t)
	driver.Set(storetest.Refuses)
	for range 5 {
		if _, err := s.Stat(t.Context(), digest.FromString("x")); !errors.Is(err, chunkstore.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	if n := driver.Calls()["Stat"]; n != 2 {
		t.Errorf("%d calls, want the two that found out", n)
	}
}

// Many who wait at once all get their answer within the limit, and leave nothing behind.
func TestHangPilesNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, driver, _ := onOutage(t)
		driver.Set(storetest.Hangs)
		start, done := time.Now(), make(chan error)
		for range 100 {
			go func() {
				_, err := s.Stat(t.Context(), digest.FromString("x"))
				done <- err
			}()
		}
		for range 100 {
			if err := <-done; !errors.Is(err, chunkstore.ErrUnreachable) {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Callers that give up say nothing about the backend; errors that are answers do.
func TestOthersFailures(t *testing.T) {
	t.Parallel()
	s, driver, _ := onOutage(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := s.Stat(gone, digest.FromString("x")); errors.Is(err, chunkstore.ErrUnreachable) {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), digest.FromString("x")); !errors.Is(err, chunkstore.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := driver.Calls()["Stat"]; n != 10 {
		t.Errorf("%d calls", n)
	}
}

// A stream may take as long as its reader likes, but may not stand still at the backend.
func TestStreamStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, driver, _ := onOutage(t)
		content := bytes.Repeat([]byte("strata "), 100_000)
		d, err := s.Put(t.Context(), content)
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		half := make([]byte, len(content)/2)
		if _, err := io.ReadFull(c, half); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a slow client
		if _, err := io.ReadFull(c, half[:100]); err != nil {
			t.Fatal(err)
		}
		driver.Set(storetest.Hangs)
		start := time.Now()
		if _, err := c.Read(half); !errors.Is(err, chunkstore.ErrUnreachable) || time.Since(start) != 4*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		driver.Set(storetest.Up)
		time.Sleep(3 * time.Second)
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.HasSuffix(content, rest) || len(rest) != len(content)/2-100 {
			t.Errorf("a Read that failed may be repeated: %d bytes, %v", len(rest), err)
		}
	})
}

// An upload and a listing end, too.
func TestOthersStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, driver, _ := onOutage(t)
		if _, err := s.Put(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		w, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = s.Walk(t.Context(), func(chunkstore.Info) error {
			time.Sleep(time.Hour)
			driver.Set(storetest.Hangs)
			return nil
		})
		if err != nil {
			t.Errorf("the time of the caller's function counts: %v", err)
		}
		if _, err := w.Write([]byte("y")); err == nil {
			_, err = w.Commit(t.Context(), chunkstore.Expected{Digest: digest.FromString("y"), Size: 1})
			if !errors.Is(err, chunkstore.ErrUnreachable) {
				t.Errorf("commit: %v", err)
			}
		}
		_ = w.Cancel(t.Context())
		time.Sleep(time.Minute)
		if err := s.Walk(t.Context(), func(chunkstore.Info) error { return nil }); !errors.Is(err,
			chunkstore.ErrUnreachable) {
			t.Errorf("walk: %v", err)
		}
	})
}

// Who says how old a record may be gets it from memory; others ask.
func TestRecordWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, driver, _ := onOutage(t)
		other, err := chunkstore.New(driver, chunkstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		put := func(s *chunkstore.Store, v string) {
			if err := s.PutRecord(t.Context(), "tag", "a", []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
		want := func(age time.Duration, v string, asks int) {
			t.Helper()
			driver.Calls()
			b, err := s.GetRecordWithin(t.Context(), "tag", "a", age)
			if n := driver.Calls()["Reader"]; string(b) != v || err != nil || n != asks {
				t.Errorf("%q, %v, %d calls; want %q by %d", b, err, n, v, asks)
			}
		}
		put(s, "1")
		want(time.Second, "1", 1)
		put(other, "2")
		time.Sleep(time.Second / 2)
		want(time.Second, "1", 0)
		want(0, "2", 1)
		time.Sleep(time.Second / 2)
		want(time.Hour, "1", 0)
		want(time.Second, "2", 1)
		put(s, "3")
		want(time.Hour, "3", 1)
	})
}
