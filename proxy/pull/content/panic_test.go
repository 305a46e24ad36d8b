package content

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// panicking is an upstream that panics: when it is asked, or when it is read.
type panicking struct{ late bool }

func (s panicking) StatBlob(context.Context, name.Repository, digest.Digest) (int64, error) {
	panic("stat")
}

func (s panicking) Blob(context.Context, name.Repository, digest.Digest, int64) (io.ReadCloser, int64, error) {
	if !s.late {
		panic("blob")
	}
	return s, 100, nil
}

func (s panicking) BlobRange(context.Context, name.Repository, digest.Digest, int64, int64) (io.ReadCloser, error) {
	return s, nil
}

func (s panicking) Read([]byte) (int, error) { panic("read") }
func (s panicking) Close() error             { return nil }

// A panic in an upstream's client costs the one download, and is counted.
func TestPanicCostsOneDownload(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		chunks, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var panics atomic.Int64
		work := background.New(background.Options{Panicked: func(string) { panics.Add(1) }})
		b := NewBlobs(BlobOptions{
			Common: Common{
				Chunks: chunks, Work: work, Losses: NewLosses(time.Now), Proofs: unruled{},
				State: state.New(chunks, nil, nil), Logger: slog.New(slog.DiscardHandler),
			},
			Upstream: panicking{late}, WorkDir: t.TempDir(),
		})
		repo, d := nametest.Repository("registry.test/a/b"), digest.FromString("x")
		var panicked *background.PanicError
		blob, err := b.Open(t.Context(), repo, d, 0)
		if err == nil {
			_, err = io.ReadAll(blob)
			blob.Close()
		}
		if !errors.As(err, &panicked) {
			t.Errorf("late %t: download: %v", late, err)
		}
		if _, err := b.Stat(t.Context(), repo, d); !errors.As(err, &panicked) {
			t.Errorf("late %t: stat: %v", late, err)
		}
		if _, err := b.ranges.get(t.Context(), repo, d, 100, 0); !errors.As(err, &panicked) {
			t.Errorf("late %t: range: %v", late, err)
		}
		if panics.Load() != 3 {
			t.Errorf("late %t: %d panics were counted", late, panics.Load())
		}
		if err := errors.Join(b.Close(t.Context()), work.Close(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// unruled has no rules of access.
type unruled struct{}

func (unruled) Has(context.Context, name.Repository, digest.Digest) bool    { return true }
func (unruled) Came(context.Context, name.Repository, digest.Digest)        {}
func (unruled) Image(context.Context, name.Repository, digest.Digest, bool) {}
