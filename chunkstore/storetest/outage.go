package storetest

import (
	"context"
	"io"
	"maps"
	"sync"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Backend is how the backend of an Outage driver fares.
type Backend int

// The states of a backend.
const (
	// Up does what is asked.
	Up Backend = iota
	// Refuses takes no connection.
	Refuses
	// Hangs never answers. Calls end with their context.
	Hangs
)

// Outage is a driver whose backend can go away and come back. It counts the calls that reach the backend.
type Outage struct {
	storagedriver.StorageDriver

	mu    sync.Mutex
	state Backend
	calls map[string]int
}

var _ storagedriver.StorageDriver = (*Outage)(nil)

// NewOutage decorates a driver. Its backend is up.
func NewOutage(driver storagedriver.StorageDriver) *Outage {
	return &Outage{StorageDriver: driver, calls: map[string]int{}}
}

// Set makes the backend go away or come back, for calls that begin from now on.
func (o *Outage) Set(state Backend) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = state
}

// Calls returns the calls since the last time by method, without those of readers and writers, and forgets them.
func (o *Outage) Calls() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := maps.Clone(o.calls)
	clear(o.calls)
	return calls
}

// ask is made before each call.
func (o *Outage) ask(ctx context.Context, method string) error {
	o.mu.Lock()
	if method != "" {
		o.calls[method]++
	}
	state := o.state
	o.mu.Unlock()
	switch state {
	case Refuses:
		return storagedriver.Error{DriverName: o.Name(), Detail: syscall.ECONNREFUSED}
	case Hangs:
		<-ctx.Done()
		return storagedriver.Error{DriverName: o.Name(), Detail: ctx.Err()}
	}
	return ctx.Err()
}

// GetContent needs the backend.
func (o *Outage) GetContent(ctx context.Context, path string) ([]byte, error) {
	if err := o.ask(ctx, "GetContent"); err != nil {
		return nil, err
	}
	return o.StorageDriver.GetContent(ctx, path)
}

// PutContent needs the backend.
func (o *Outage) PutContent(ctx context.Context, path string, b []byte) error {
	if err := o.ask(ctx, "PutContent"); err != nil {
		return err
	}
	return o.StorageDriver.PutContent(ctx, path, b)
}

// Stat needs the backend.
func (o *Outage) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if err := o.ask(ctx, "Stat"); err != nil {
		return nil, err
	}
	return o.StorageDriver.Stat(ctx, path)
}

// List needs the backend.
func (o *Outage) List(ctx context.Context, path string) ([]string, error) {
	if err := o.ask(ctx, "List"); err != nil {
		return nil, err
	}
	return o.StorageDriver.List(ctx, path)
}

// Move needs the backend.
func (o *Outage) Move(ctx context.Context, from, to string) error {
	if err := o.ask(ctx, "Move"); err != nil {
		return err
	}
	return o.StorageDriver.Move(ctx, from, to)
}

// Delete needs the backend.
func (o *Outage) Delete(ctx context.Context, path string) error {
	if err := o.ask(ctx, "Delete"); err != nil {
		return err
	}
	return o.StorageDriver.Delete(ctx, path)
}

// Walk needs the backend, before each object too.
func (o *Outage) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	if err := o.ask(ctx, "Walk"); err != nil {
		return err
	}
	return o.StorageDriver.Walk(ctx, path, func(fi storagedriver.FileInfo) error {
		if err := o.ask(ctx, ""); err != nil {
			return err
		}
		return fn(fi)
	}, options...)
}

// Reader needs the backend, and so does each Read.
func (o *Outage) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if err := o.ask(ctx, "Reader"); err != nil {
		return nil, err
	}
	rc, err := o.StorageDriver.Reader(ctx, path, offset)
	if err != nil {
		return nil, err
	}
	return &outageReader{rc, func() error { return o.ask(ctx, "") }}, nil
}

type outageReader struct {
	io.ReadCloser
	ask func() error // under the context that it was opened with, as a connection is
}

func (r *outageReader) Read(p []byte) (int, error) {
	if err := r.ask(); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(p)
}

// Writer needs the backend, and so do the calls of what it returns.
func (o *Outage) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	if err := o.ask(ctx, "Writer"); err != nil {
		return nil, err
	}
	fw, err := o.StorageDriver.Writer(ctx, path, append)
	if err != nil {
		return nil, err
	}
	return &outageWriter{fw, o, func() error { return o.ask(ctx, "") }}, nil
}

type outageWriter struct {
	storagedriver.FileWriter
	driver *Outage
	ask    func() error // under the context that it was opened with, which parts are uploaded under
}

func (w *outageWriter) Write(p []byte) (int, error) {
	if err := w.ask(); err != nil {
		return 0, err
	}
	return w.FileWriter.Write(p)
}

func (w *outageWriter) Commit(ctx context.Context) error {
	if err := w.ask(); err != nil {
		return err
	}
	return w.FileWriter.Commit(ctx)
}

func (w *outageWriter) Cancel(ctx context.Context) error {
	if err := w.driver.ask(ctx, ""); err != nil {
		return err
	}
	return w.FileWriter.Cancel(ctx)
}
