package state_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
)

func open(t *testing.T) (*state.Store, *chunkstore.Store, *inmemory.Driver, *bytes.Buffer) {
	t.Helper()
	driver := inmemory.New()
	chunks, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return state.New(chunks, slog.New(slog.NewTextHandler(&log, nil)), nil), chunks, driver, &log
}

func put(t *testing.T, s *state.Store, content string) digest.Digest {
	t.Helper()
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromString(content)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Commit(t.Context()); err != nil || got != d {
		t.Fatalf("%s, %v", got, err)
	}
	return d
}

func TestContent(t *testing.T) {
	t.Parallel()
	s, _, _, _ := open(t)
	d := put(t, s, "hello")
	if ok, err := s.Has(t.Context(), d); !ok || err != nil {
		t.Errorf("has: %t, %v", ok, err)
	}
	rc, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	s, _, _, _ := open(t)
	for _, d := range []digest.Digest{digest.FromString("nothing"), "", "sha256:xyz", "no digest"} {
		if ok, err := s.Has(t.Context(), d); ok || err != nil {
			t.Errorf("has %q: %t, %v", d, ok, err)
		}
		if _, err := s.Open(t.Context(), d); !errors.Is(err, rechunk.ErrNotFound) {
			t.Errorf("open %q: %v", d, err)
		}
	}
	if _, err := s.GetRecord(t.Context(), "kind", "key"); !errors.Is(err, rechunk.ErrNotFound) {
		t.Errorf("record: %v", err)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	s, _, driver, log := open(t)
	long := strings.Repeat("long/", 100)
	for _, key := range []string{"k", long} {
		if err := s.PutRecord(t.Context(), "kind", key, []byte("v")); err != nil {
			t.Fatal(err)
		}
		if b, err := s.GetRecord(t.Context(), "kind", key); err != nil || string(b) != "v" {
			t.Errorf("%q, %v", b, err)
		}
	}
	// A long key stands in the record itself, where damage shows.
	paths, err := driver.List(t.Context(), "/v1/records/kind")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if err := driver.PutContent(t.Context(), p, []byte("garbage")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.GetRecord(t.Context(), "kind", long); !errors.Is(err, rechunk.ErrNotFound) ||
		!strings.Contains(log.String(), "damaged") {
		t.Errorf("%v; log %s", err, log)
	}
}

// Content that rotted is found at its end, removed, and can be stored again.
func TestDamage(t *testing.T) {
	t.Parallel()
	_, chunks, driver, _ := open(t)
	var log bytes.Buffer
	counted := counts{}
	s := state.New(chunks, slog.New(slog.NewTextHandler(&log, nil)), counted)
	d := put(t, s, "hello")
	path := "/v1/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded()
	if err := driver.PutContent(t.Context(), path, []byte("jello")); err != nil {
		t.Fatal(err)
	}
	rc, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	for range 2 {
		if _, err = io.ReadAll(rc); !errors.Is(err, chunkstore.ErrCorrupt) || !errors.Is(err, rechunk.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
	if ok, err := s.Has(t.Context(), d); ok || err != nil {
		t.Errorf("has: %t, %v", ok, err)
	}
	put(t, s, "hello")
	if ok, _ := s.Has(t.Context(), d); !ok {
		t.Error("it could not be stored again")
	}
	if n := strings.Count(log.String(), "put into quarantine"); n != 1 || counted[state.Needed] != 1 || len(counted) != 1 {
		t.Errorf("counted %v, logged %d times: %s", counted, n, &log)
	}
}

type counts map[string]int

func (c counts) Damaged(outcome string) { c[outcome]++ }

// Who brings content back at once says what became of it.
func TestReplace(t *testing.T) {
	t.Parallel()
	_, chunks, _, _ := open(t)
	var log bytes.Buffer
	counted := counts{}
	s := state.New(chunks, slog.New(slog.NewTextHandler(&log, nil)), counted)
	d := put(t, s, "hello")
	err := s.Replace(t.Context(), d, chunkstore.ErrCorrupt, func(ctx context.Context) (string, error) {
		if has, err := s.Has(ctx, d); has || err != nil {
			t.Errorf("it is to be brought back: %t, %v", has, err)
		}
		return "lost", errors.New("nobody has it")
	})
	if err != nil || counted["lost"] != 1 || len(counted) != 1 || !strings.Contains(log.String(), "outcome=lost") ||
		!strings.Contains(log.String(), "nobody has it") {
		t.Errorf("%v; counted %v; log %s", err, counted, &log)
	}
}

// A download is hashed once, by the reader of its source: what is wrong there never gets to be content.
func TestSink(t *testing.T) {
	t.Parallel()
	_, chunks, _, _ := open(t)
	downloads := flight.New(flight.Options{WorkDir: t.TempDir(), Sink: state.NewSink(chunks)})
	right := digest.FromString("right")
	for _, content := range []string{"wrong", "rights", "righ", "right"} {
		err := downloads.Wait(t.Context(), flight.Key{Digest: right}, func(context.Context) (io.ReadCloser, int64, error) {
			return verify.NewReader(strings.NewReader(content), right, verify.AnySize), verify.AnySize, nil
		})
		_, missing := chunks.Stat(t.Context(), right)
		if ok := content == "right"; (err == nil) != ok || (missing == nil) != ok {
			t.Errorf("%s: %v; stored: %v", content, err, missing)
		}
	}
	if err := downloads.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
