package seed

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
)

const (
	// linger is how long an image's files are kept after they were used: the next layer of a pull needs others of them, and
	// often the same.
	linger = time.Minute
	// mostIdle is how many images' files are kept while nobody uses them.
	mostIdle = 2
	// scansAtOnce is how many layers of an image are read at the same time.
	scansAtOnce = 2
)

// Layers opens the layers in the edge's store. What ends in io.EOF is right.
type Layers interface {
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// StoreOptions are what a Store is made of; Layers and Dir are needed.
type StoreOptions struct {
	Layers Layers
	// Dir holds the files while they are used, and Space bounds them; nil stands for no bound.
	Dir   string
	Space scan.Space
	// Logger hears of temporary files that cannot be closed.
	Logger *slog.Logger
}

// Store has the files of images whose layers are stored. They are found by reading the layers that hold them, each as seldom
// as can be, and can be opened as soon as they came by. It is safe for concurrent use.
type Store struct {
	StoreOptions

	mu     sync.Mutex
	closed bool
	images map[digest.Digest]*image
}

// NewStore returns a Store. Close ends it.
func NewStore(o StoreOptions) *Store {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{StoreOptions: o, images: map[digest.Digest]*image{}}
}

// image is an image whose files are in use, or were a moment ago.
type image struct {
	spool  *scan.Spool
	layers []layer

	// Guarded by Store.mu.
	users int
	idle  *time.Timer // frees it; nil while it is used
	since time.Time

	mu      sync.Mutex
	changed chan struct{} // closed when a file was found, or a layer came to its end
}

// layer is a layer of an image.
type layer struct {
	digest digest.Digest
	turn   chan struct{} // held by who reads it
}

func (i *image) change() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.changed)
	i.changed = make(chan struct{})
}

func (i *image) next() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.changed
}

// Open returns files of an image: of its layers, lowest first, those that a delta names. They are looked for from now on.
// ctx lasts until Close.
func (s *Store) Open(ctx context.Context, manifest digest.Digest, layers []digest.Digest, files []delta.File) (Files,
	error) {
	i, err := s.acquire(manifest, layers)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	u := &use{store: s, image: i, cancel: cancel, done: make(map[int]error)}
	u.work.Go(func() { u.search(ctx, files) })
	return u, nil
}

// acquire returns an image for one more user.
func (s *Store) acquire(manifest digest.Digest, layers []digest.Digest) (*image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	i := s.images[manifest]
	if i == nil {
		spool, err := scan.NewSpool(s.Dir, s.Space)
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w: %w", manifest, ErrUnreadable, err)
		}
		i = &image{spool: spool, changed: make(chan struct{})}
		for _, d := range layers {
			i.layers = append(i.layers, layer{d, make(chan struct{}, 1)})
		}
		s.images[manifest] = i
	}
	if i.idle != nil {
		i.idle.Stop()
		i.idle = nil
	}
	i.users++
	return i, nil
}

// release is acquire's end. What nobody uses stays for a while, unless there are others like it.
func (s *Store) release(i *image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.users--; i.users > 0 {
		return
	}
	if s.closed {
		s.free(i)
		return
	}
	i.since = time.Now()
	i.idle = time.AfterFunc(linger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.users == 0 {
			s.free(i)
		}
	})
	idle, oldest := 0, i
	for _, other := range s.images {
		if other.users > 0 {
			continue
		}
		if idle++; other.since.Before(oldest.since) {
			oldest = other
		}
	}
	if idle > mostIdle {
		s.free(oldest)
	}
}

// free gives the disk space of an image's files back.
func (s *Store) free(i *image) {
	for manifest, other := range s.images {
		if other == i {
			delete(s.images, manifest)
		}
	}
	if i.idle != nil {
		i.idle.Stop()
		i.idle = nil
	}
	if i.spool == nil {
		return
	}
	if err := i.spool.Close(); err != nil {
		s.Logger.Warn("files of a seed could not be closed", "error", err)
	}
	i.spool = nil
}

// Close frees all that is not in use, and the rest when it is closed.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, i := range s.images {
		if i.users == 0 {
			s.free(i)
		}
	}
}
