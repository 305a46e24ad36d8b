package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// staged is an object on its way: written under uploads/, sealed (complete and synced), then published at its final path, or
// discarded. It is for one goroutine.
type staged struct {
	store  *Store
	id     string
	path   string
	out    storagedriver.FileWriter
	size   int64
	sealed bool
	gone   bool
}

// stage begins an object. The context must last until it is sealed: drivers upload parts under it.
func (s *Store) stage(ctx context.Context) (*staged, error) {
	id := newID()
	s.uploads.add(id)
	path := uploadsDir + "/" + id
	out, err := s.driver.Writer(ctx, path, false)
	if err != nil {
		s.uploads.remove(id)
		return nil, err
	}
	return &staged{store: s, id: id, path: path, out: out}, nil
}

func (t *staged) Write(p []byte) (int, error) {
	n, err := t.out.Write(p)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	t.size += int64(n)
	return n, err
}

// seal makes the object complete and durable where it is, and checks that the backend kept all of it.
func (t *staged) seal(ctx context.Context) error {
	if err := t.out.Commit(ctx); err != nil {
		return err
	}
	if err := t.out.Close(); err != nil {
		return err
	}
	t.sealed = true
	fi, err := t.store.stat(ctx, t.path)
	if err != nil {
		return err
	}
	if fi.Size() != t.size {
		return fmt.Errorf("the backend kept %d of %d bytes: %w", fi.Size(), t.size, ErrCorrupt)
	}
	return nil
}

// publish moves a sealed object to its final path and makes that durable. settled, when not nil, reports whether the
// object is there after all although the move failed: an object store moves by copying and deleting, and may fail between.
func (t *staged) publish(ctx context.Context, dest string, settled func() bool) error {
	defer t.store.changing.Lock(dest)()
	if err := t.store.driver.Move(ctx, t.path, dest); err != nil {
		if settled == nil || !settled() {
			return err
		}
		t.drop(ctx)
	}
	t.leave()
	return t.store.dirs.placed(dest)
}

// discard removes the object unless it was published. It is idempotent, and works after ctx has ended.
func (t *staged) discard(ctx context.Context) error {
	if t.gone {
		return nil
	}
	t.leave()
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer stop()
	var cancelled error
	if !t.sealed {
		if cancelled = t.out.Cancel(ctx); cancelled == nil {
			return nil
		}
	}
	// A writer whose Commit failed half-way cannot be cancelled any more, but may have left an object.
	if err := t.store.remove(ctx, t.path); err != nil {
		return errors.Join(cancelled, err)
	}
	return nil
}

// drop is discard for those who have a more important error, or none, to return.
func (t *staged) drop(ctx context.Context) {
	if err := t.discard(ctx); err != nil {
		t.store.log.WarnContext(ctx, "an upload was left behind", "path", t.path, "err", failedWrite("discard upload", err))
	}
}

func (t *staged) leave() {
	t.gone = true
	t.store.uploads.remove(t.id)
}

// place writes a small object at a path, replacing what is there, whole or not at all.
func (s *Store) place(ctx context.Context, op, path string, b []byte) error {
	if s.wholePuts {
		defer s.changing.Lock(path)()
		return failedWrite(op, s.driver.PutContent(ctx, path, b))
	}
	t, err := s.stage(ctx)
	if err != nil {
		return failedWrite(op, err)
	}
	defer t.drop(ctx)
	if _, err := t.Write(b); err != nil {
		return failedWrite(op, err)
	}
	if err := t.seal(ctx); err != nil {
		return failedWrite(op, err)
	}
	return failedWrite(op, t.publish(ctx, path, nil))
}

// uploadSet holds the uploads of this process, so that they are not taken for leftovers.
type uploadSet struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (u *uploadSet) add(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ids[id] = struct{}{}
}

func (u *uploadSet) remove(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
}

func (u *uploadSet) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.ids[id]
	return ok
}
