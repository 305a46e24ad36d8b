package airgap_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/catalog"
)

// room is a quota that nothing was taken of yet.
type room int64

func (r room) Room() int64 { return int64(r) }
func (room) Grew(int64)    {}

// A store that knows how much it takes is asked before anything is written: a file that does not fit leaves no byte.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	repo, _ := signedIndex(t)
	file := filepath.Join(t.TempDir(), "os.tar")
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), file, airgap.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	driver := inmemory.New()
	chunks, err := chunkstore.NewContext(t.Context(), driver, chunkstore.Options{Space: room(out.Bytes / 2)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = airgap.Import(t.Context(), file, options(t, chunks, t.TempDir()))
	if !errors.Is(err, chunkstore.ErrNoSpace) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if err := chunks.Walk(t.Context(), func(i chunkstore.Info) error { return errors.New(i.Digest.String()) }); err != nil {
		t.Errorf("it is there: %v", err)
	}
	if kinds, err := chunks.RecordKinds(t.Context()); err != nil || len(kinds) > 0 {
		t.Errorf("records of %v, %v", kinds, err)
	}
}

// A disk that fills up while a file comes in, wherever that happens, leaves no tag of an image that is not whole and no
// content that is wrong, and with room again the same import goes on.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	repo, _ := signedIndex(t)
	file := filepath.Join(t.TempDir(), "os.tar")
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), file, airgap.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for limit := int64(200); ; limit += 700 {
		memory := inmemory.New()
		full, err := chunkstore.NewContext(t.Context(), storetest.NewLimited(memory, limit), chunkstore.Options{})
		if err != nil {
			continue // it is full before it is a store
		}
		_, err = airgap.Import(t.Context(), file, options(t, full, t.TempDir()))
		if err == nil {
			break
		}
		failed++
		if !errors.Is(err, chunkstore.ErrNoSpace) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d bytes: %v", limit, err)
		}
		chunks, err := chunkstore.NewContext(t.Context(), memory, chunkstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, chunks, t.TempDir())
		wholeOrNone(t, chunks, o.Records, out.Entries)
		if _, err := airgap.Import(t.Context(), file, o); err != nil {
			t.Errorf("%d bytes, with room again: %v", limit, err)
		}
		wholeOrNone(t, chunks, o.Records, out.Entries)
		if rec, err := o.Records.Tags.Get(t.Context(), tagOf(out.Entries[0].Name)); err != nil || rec == nil {
			t.Errorf("%d bytes, with room again: %v, %v", limit, rec, err)
		}
	}
	if failed < 10 {
		t.Errorf("it failed %d times only", failed)
	}
}

func tagOf(name string) catalog.TagKey {
	key, _ := catalog.ParseTagKey(name)
	return key
}

// wholeOrNone holds a store to what a file brings: content is right, and a tag leads to what is there.
func wholeOrNone(t *testing.T, chunks *chunkstore.Store, records *catalog.Records, entries []airgap.Entry) {
	t.Helper()
	there := map[digest.Digest]bool{}
	err := chunks.Walk(t.Context(), func(i chunkstore.Info) error {
		there[i.Digest] = true
		return chunks.Verify(t.Context(), i.Digest)
	})
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		rec, err := records.Tags.Get(t.Context(), tagOf(e.Name))
		if err != nil {
			t.Error(err)
		}
		if e.Name != "" && rec != nil && !there[rec.Digest] {
			t.Errorf("%s leads to %s, which is not there", e.Name, rec.Digest)
		}
	}
	rec, err := records.Tags.Get(t.Context(), tagOf(entries[0].Name))
	if err != nil || rec == nil {
		return
	}
	for _, e := range entries {
		if !there[e.Digest] {
			t.Errorf("the image is served, and %s is not there", e.Digest)
		}
	}
}
