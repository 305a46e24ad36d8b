// Package oneshot does without a server what the proxy does with one: it rechunks an image from one place to another,
// compares two images and verifies that they are the same.
package oneshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/chunkstore/private"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/workdir"
	"github.com/strata-oci/strata/rechunk"
)

// Options are common to all work of this package.
type Options struct {
	// State is a directory that keeps layers and lineages between calls, in the store format of the server; empty keeps
	// nothing.
	State string
	// Prior is an image that was rechunked before, in one of the forms of package imageref: a lineage that the state does
	// not have begins with it. Empty is none.
	Prior string
	// Platform picks an image from an index, "os/arch[/variant]"; empty means linux on this machine's architecture.
	Platform string
	// Insecure allows plain HTTP and unverified certificates for any registry.
	Insecure bool
	// TempDir is where a temporary directory is made when there is no state; empty means os.TempDir().
	TempDir string
	Logger  *slog.Logger
	// Progress is told how the work goes on; may be nil.
	Progress func(rechunk.Progress)
}

// workplace is a store and an engine on a directory, for one call.
type workplace struct {
	engine *rechunk.Engine
	chunks *chunkstore.Store
	store  *state.Store // chunks, for the engine
	dir    string
	temp   bool
	claim  *claim.Claim // of dir
}

// open makes the workplace: in the state directory, or in a temporary one that close removes.
func open(ctx context.Context, o Options) (*workplace, error) {
	w := &workplace{dir: o.State}
	if w.dir == "" {
		dir, err := os.MkdirTemp(o.TempDir, "strata-")
		if err != nil {
			return nil, fmt.Errorf("making a temporary directory: %w", err)
		}
		w.dir, w.temp = dir, true
	}
	if err := w.start(ctx, o); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *workplace) start(ctx context.Context, o Options) error {
	root, err := filepath.Abs(w.dir)
	if err != nil {
		return err
	}
	if err := private.Directory(root); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	driver, err := chunkstore.OpenDriver(ctx, "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		return err
	}
	if w.chunks, err = w.openStore(ctx, root, driver, chunkstore.Options{Logger: o.Logger}); err != nil {
		return fmt.Errorf("state directory %s: %w", root, err)
	}
	w.store = state.New(w.chunks, o.Logger, nil)
	// Spools lie beside the store: the system's temporary directory may be too small for an image.
	w.engine = rechunk.New(rechunk.Config{Store: w.store, Records: w.store, WorkDir: root, Logger: o.Logger})
	return nil
}

// openStore opens the store and, when no other process uses its directory, removes what killed ones left half written.
func (w *workplace) openStore(ctx context.Context, root string, driver storagedriver.StorageDriver,
	o chunkstore.Options) (*chunkstore.Store, error) {
	var chunks *chunkstore.Store
	var err error
	w.claim, err = workdir.Claim(root, func() error {
		var err error
		if chunks, err = chunkstore.NewContext(ctx, driver, o); err != nil {
			return err
		}
		_, err = chunks.SweepUploads(ctx, 0)
		return err
	})
	if err != nil && !errors.Is(err, claim.ErrUnsupported) {
		return nil, err
	}
	if chunks != nil {
		return chunks, nil
	}
	return chunkstore.NewContext(ctx, driver, o)
}

func (w *workplace) close() error {
	err := w.claim.Release()
	if !w.temp {
		return err
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// source fits an opened image reference to the engine.
type source struct{ imageref.Source }

func (s source) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return s.Source.Blob(ctx, d.Digest, d.Size)
}

// openSource opens the image that a reference names.
func openSource(ctx context.Context, ref string, o Options) (source, error) {
	r, err := imageref.Parse(ref)
	if err != nil {
		return source{}, err
	}
	s, err := r.Open(ctx, imageref.Options{Platform: o.Platform, Insecure: o.Insecure})
	return source{s}, err
}

// request names the opened image to the engine.
func (s source) request(o Options) rechunk.Request {
	_, raw, d := s.Manifest()
	return rechunk.Request{Digest: d, Manifest: raw, Source: s, Progress: o.Progress}
}
