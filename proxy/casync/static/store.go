package static

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/chunkstore/casync"
)

// store is a directory of chunks, with indexes beside it.
type store struct {
	root, dir  string
	compressed bool
	encoder    *casync.Encoder
	buffers    sync.Pool
	seen       map[casync.ID]bool
	written    atomic.Int64
	bytes      atomic.Int64
}

// unfinished begins the names of files that are being written; leftFor is how old one is that nobody writes any more.
const (
	unfinished = ".strata-"
	leftFor    = 24 * time.Hour
)

func openStore(root string, o Options) (*store, error) {
	s := &store{root: root, dir: filepath.Join(root, Store), compressed: !o.Uncompressed, seen: map[casync.ID]bool{}}
	var err error
	if s.encoder, err = casync.NewEncoder(o.Sizes); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	for _, dir := range []string{s.root, s.dir} {
		if err := sweep(dir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sweep removes what killed exports left.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), unfinished) && info.Mode().IsRegular() &&
			time.Since(info.ModTime()) > leftFor {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// lacks reports whether a chunk has to be written: it is not there, and nobody is at it.
func (s *store) lacks(id casync.ID) bool {
	if s.seen[id] {
		return false
	}
	s.seen[id] = true
	info, err := os.Stat(s.path(id))
	return err != nil || info.Size() == 0
}

func (s *store) path(id casync.ID) string {
	return filepath.Join(s.dir, filepath.FromSlash(casync.Path(id, s.compressed)))
}

// buffer returns an empty one for put.
func (s *store) buffer() []byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// put writes a chunk. It keeps the buffer.
func (s *store) put(id casync.ID, content []byte) error {
	out := content
	if s.compressed {
		out = s.encoder.Append(s.buffer(), content)
		defer s.buffers.Put(&out)
	}
	defer s.buffers.Put(&content)
	path := s.path(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := s.write(s.dir, path, out, false); err != nil {
		return fmt.Errorf("chunk %s: %w", id, err)
	}
	s.written.Add(1)
	s.bytes.Add(int64(len(out)))
	return nil
}

// write writes a file that is whole or not there.
func (s *store) write(temp, path string, content []byte, sync bool) (err error) {
	f, err := os.OpenFile(filepath.Join(temp, unfinished+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // may be the second one
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// index writes an index, when all chunks are on the disk.
func (s *store) index(name string, x *casync.Index) error {
	if err := settle(s.dir); err != nil {
		return fmt.Errorf("chunks: %w", err)
	}
	var b strings.Builder
	if err := x.Write(&b); err != nil {
		return err
	}
	if err := s.write(s.root, filepath.Join(s.root, name), []byte(b.String()), true); err != nil {
		return fmt.Errorf("index %s: %w", name, err)
	}
	return nil
}
