package chunkstore

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// dirSyncer completes what distribution's filesystem driver leaves out: a rename is durable only when the directory it went
// to is synced, and a new directory only when its parent is. It is safe for concurrent use.
type dirSyncer struct {
	root string // where the driver's "/" lies
	sync func(dir string) error

	mu    sync.Mutex
	known map[string]struct{} // directories whose own names are durable; one for each shard and record kind at most
}

// newDirSyncer makes a dirSyncer for a driver that opened the driver path as f.
func newDirSyncer(f *os.File, driverPath string) *dirSyncer {
	root, ok := strings.CutSuffix(f.Name(), filepath.FromSlash(driverPath))
	if !ok {
		return nil
	}
	if root == "" {
		root = string(filepath.Separator)
	}
	return &dirSyncer{root: root, sync: syncDir, known: map[string]struct{}{}}
}

// above syncs the directories above the root, which the driver makes when they are missing. It goes up to the first that
// cannot be synced: that one was not made by this process.
func (s *dirSyncer) above() {
	if s == nil {
		return
	}
	for d := filepath.Dir(s.root); s.sync(d) == nil && d != filepath.Dir(d); d = filepath.Dir(d) {
	}
}

// placed makes the name of the object at a driver path durable. A nil dirSyncer does nothing.
func (s *dirSyncer) placed(driverPath string) error {
	if s == nil {
		return nil
	}
	parent := path.Dir(driverPath)
	dirs := []string{parent}
	if !s.isKnown(parent) {
		for d := parent; d != "/"; d = path.Dir(d) {
			dirs = append(dirs, path.Dir(d))
		}
	}
	for _, d := range dirs {
		if err := s.sync(filepath.Join(s.root, filepath.FromSlash(d))); err != nil {
			return fmt.Errorf("sync directory %s: %w", d, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[parent] = struct{}{}
	return nil
}

func (s *dirSyncer) isKnown(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.known[dir]
	return ok
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Some network and FUSE filesystems know no sync of directories; their renames are as durable as they get.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		f.Close()
		return err
	}
	return f.Close()
}
