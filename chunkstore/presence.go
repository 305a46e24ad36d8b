package chunkstore

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// presence watches that a directory still holds the store that was opened in it. A file system that was unmounted leaves an
// empty directory behind, and a store that begins anew in there knows nothing of what was served, held back or refused.
type presence struct {
	marker string // the path of the file that every store begins with
	// back is asked before a store is used that came back as other files, as from a file system that was mounted again.
	back func() error
	log  *slog.Logger

	mark atomic.Pointer[fs.FileInfo] // the marker as it was last seen; nil while no store is open

	gone  atomic.Bool
	mu    sync.Mutex // held while what was gone is looked at
	since time.Time
}

// settle takes the marker that is there now for the store's own, and watches from now on.
func (p *presence) settle(back func() error, log *slog.Logger) error {
	fi, err := os.Lstat(p.marker)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back, p.log = back, log
	p.gone.Store(false)
	p.mark.Store(&fi)
	return nil
}

// leave ends the watch, for a store that is to be opened.
func (p *presence) leave() { p.mark.Store(nil) }

// opened reports whether a store is watched.
func (p *presence) opened() bool { return p.mark.Load() != nil }

// check returns nil when the store is where it was, else an error that is ErrUnreachable. It costs one look at a file.
func (p *presence) check() error {
	mark := p.mark.Load()
	if mark == nil { // it is being opened
		return nil
	}
	now, err := os.Lstat(p.marker)
	if err == nil && os.SameFile(*mark, now) && !p.gone.Load() {
		return nil
	}
	return p.again(*mark, now, err)
}

// again finds out whether the store is there as other files.
func (p *presence) again(mark, now fs.FileInfo, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		err = fmt.Errorf("the store is gone from %s: is its volume mounted? %w", filepath.Dir(filepath.Dir(p.marker)), err)
	case os.SameFile(mark, now):
	case !now.ModTime().Equal(mark.ModTime()) || now.Size() != mark.Size():
		err = fmt.Errorf("another store has come to %s: bring the first one back, or start the proxy again to use this one",
			filepath.Dir(filepath.Dir(p.marker)))
	case p.back != nil:
		err = p.back()
	}
	switch {
	case err == nil:
		p.mark.Store(&now)
		if p.gone.CompareAndSwap(true, false) {
			p.log.Info("storage is back", "seconds", time.Since(p.since).Seconds())
		}
		return nil
	case p.gone.CompareAndSwap(false, true):
		p.since = time.Now()
		p.log.Error("storage is gone; until it is back, nothing is written and only what is in memory is served", "error",
			err)
	}
	return &unreachable{err}
}

// fileError names what an error of the operating system says about the whole of a file system.
func fileError(err error) error {
	all := causes(err)
	away := []error{syscall.ENOTCONN, syscall.ESTALE, syscall.ENODEV, syscall.ENXIO, syscall.ESHUTDOWN, syscall.EHOSTDOWN}
	if !anyCause(all, func(e error) bool { return slices.Contains(away, e) }) {
		return err
	}
	return &unreachable{err}
}
