package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/verify"
)

// costly is an upstream whose blob takes work to make; it counts how often that was done.
type costly struct {
	blob []byte
	made atomic.Int64
}

func (c *costly) StatBlob(context.Context, name.Repository, digest.Digest) (int64, error) {
	return int64(len(c.blob)), nil
}

func (c *costly) Blob(_ context.Context, _ name.Repository, d digest.Digest, _ int64) (io.ReadCloser, int64, error) {
	c.made.Add(1)
	n := int64(len(c.blob))
	return io.NopCloser(verify.NewReader(bytes.NewReader(c.blob), d, n)), n, nil
}

func (c *costly) BlobRange(_ context.Context, _ name.Repository, _ digest.Digest, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(c.blob), off, n)), nil
}

// A blob that is not kept is made once for all who want it at the same time, and for those who come back for the rest of it.
func TestTransientIsMadeOnce(t *testing.T) {
	t.Parallel()
	chunks, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	source := &costly{blob: bytes.Repeat([]byte("a layer"), 100_000)}
	work := background.New(background.Options{})
	b := NewBlobs(BlobOptions{
		Common: Common{
			Chunks: chunks, Work: work, Losses: NewLosses(time.Now), Proofs: unruled{}, State: state.New(chunks, nil, nil),
			Logger: slog.New(slog.DiscardHandler),
		},
		Upstream: source, WorkDir: t.TempDir(),
		Transient: func(context.Context, name.Repository, digest.Digest) bool { return true },
	})
	repo, d := nametest.Repository("registry.test/a/b"), digest.FromBytes(source.blob)
	read := func(from int64) {
		blob, err := b.Open(t.Context(), repo, d, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer blob.Close()
		_, err = blob.Seek(from, io.SeekStart)
		got, readErr := io.ReadAll(blob)
		if err := errors.Join(err, readErr); err != nil || !bytes.Equal(got, source.blob[from:]) {
			t.Errorf("from %d: %d bytes, %v", from, len(got), err)
		}
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { read(0) })
	}
	wg.Wait()
	read(int64(len(source.blob)) / 2)
	if n := source.made.Load(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
	if n, err := b.Stat(t.Context(), repo, d); err != nil || n != int64(len(source.blob)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := chunks.Stat(t.Context(), d); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("it is kept: %v", err)
	}
	if err := errors.Join(b.Close(t.Context()), work.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
