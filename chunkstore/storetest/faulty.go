package storetest

import (
	"context"
	"errors"
	"io"
	"sync"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// ErrInjected is what a Faulty driver fails with.
var ErrInjected = errors.New("injected failure")

// Outcome is what becomes of a call of a Faulty driver.
type Outcome int

// The outcomes of a call.
const (
	// Pass does the call.
	Pass Outcome = iota
	// Fail fails without doing the call; a write does its first half.
	Fail
	// FailAfter does the call and fails all the same, as a lost answer would.
	FailAfter
)

// Rule decides on the n-th call, counted from 1 over all operations of a driver, its readers and its writers.
type Rule func(n int) Outcome

// FailNth makes the n-th call fail, once.
func FailNth(n int) Rule {
	return func(i int) Outcome {
		if i == n {
			return Fail
		}
		return Pass
	}
}

// FailNthAfter does the n-th call but makes it look failed, once.
func FailNthAfter(n int) Rule {
	return func(i int) Outcome {
		if i == n {
			return FailAfter
		}
		return Pass
	}
}

// DieAt makes the n-th call and all later ones fail: what they leave is what a killed process leaves.
func DieAt(n int) Rule {
	return func(i int) Outcome {
		if i >= n {
			return Fail
		}
		return Pass
	}
}

// Faulty is a driver whose calls fail by a rule. It hides the files of a filesystem driver.
type Faulty struct {
	storagedriver.StorageDriver
	rule Rule

	mu    sync.Mutex
	calls int
}

var _ storagedriver.StorageDriver = (*Faulty)(nil)

// NewFaulty decorates a driver.
func NewFaulty(driver storagedriver.StorageDriver, rule Rule) *Faulty {
	return &Faulty{StorageDriver: driver, rule: rule}
}

// Calls is how many calls there were so far, failed ones included.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *Faulty) next() Outcome {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	return f.rule(n)
}

// do makes a call that the rule has to allow.
func (f *Faulty) do(call func() error) error {
	switch f.next() {
	case Fail:
		return injected(f.Name())
	case FailAfter:
		return errors.Join(call(), injected(f.Name()))
	}
	return call()
}

// injected is wrapped as distribution's drivers do, out of reach of errors.Is.
func injected(name string) error {
	return storagedriver.Error{DriverName: name, Detail: ErrInjected}
}

// GetContent fails by the rule.
func (f *Faulty) GetContent(ctx context.Context, path string) (b []byte, err error) {
	err = f.do(func() error { b, err = f.StorageDriver.GetContent(ctx, path); return err })
	return b, err
}

// PutContent fails by the rule.
func (f *Faulty) PutContent(ctx context.Context, path string, b []byte) error {
	return f.do(func() error { return f.StorageDriver.PutContent(ctx, path, b) })
}

// Stat fails by the rule.
func (f *Faulty) Stat(ctx context.Context, path string) (fi storagedriver.FileInfo, err error) {
	err = f.do(func() error { fi, err = f.StorageDriver.Stat(ctx, path); return err })
	return fi, err
}

// List fails by the rule.
func (f *Faulty) List(ctx context.Context, path string) (paths []string, err error) {
	err = f.do(func() error { paths, err = f.StorageDriver.List(ctx, path); return err })
	return paths, err
}

// Move fails by the rule.
func (f *Faulty) Move(ctx context.Context, from, to string) error {
	return f.do(func() error { return f.StorageDriver.Move(ctx, from, to) })
}

// Delete fails by the rule.
func (f *Faulty) Delete(ctx context.Context, path string) error {
	return f.do(func() error { return f.StorageDriver.Delete(ctx, path) })
}

// Walk fails by the rule.
func (f *Faulty) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	return f.do(func() error { return f.StorageDriver.Walk(ctx, path, fn, options...) })
}

// Reader fails by the rule, and so do reads from what it returns.
func (f *Faulty) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	var rc io.ReadCloser
	err := f.do(func() (err error) { rc, err = f.StorageDriver.Reader(ctx, path, offset); return err })
	if err != nil {
		if rc != nil {
			rc.Close()
		}
		return nil, err
	}
	return &faultyReader{rc, f}, nil
}

type faultyReader struct {
	io.ReadCloser
	driver *Faulty
}

func (r *faultyReader) Read(p []byte) (n int, err error) {
	switch r.driver.next() {
	case Fail, FailAfter:
		return 0, ErrInjected
	}
	return r.ReadCloser.Read(p)
}

// Writer fails by the rule, and so do the calls of what it returns.
func (f *Faulty) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	var fw storagedriver.FileWriter
	err := f.do(func() (err error) { fw, err = f.StorageDriver.Writer(ctx, path, append); return err })
	if err != nil {
		if fw != nil {
			fw.Close()
		}
		return nil, err
	}
	return &faultyWriter{fw, f}, nil
}

type faultyWriter struct {
	storagedriver.FileWriter
	driver *Faulty
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	switch w.driver.next() {
	case Fail:
		n, err = w.FileWriter.Write(p[:len(p)/2])
		return n, errors.Join(err, ErrInjected)
	case FailAfter:
		n, err = w.FileWriter.Write(p)
		return n, errors.Join(err, ErrInjected)
	}
	return w.FileWriter.Write(p)
}

func (w *faultyWriter) Commit(ctx context.Context) error {
	return w.driver.do(func() error { return w.FileWriter.Commit(ctx) })
}

func (w *faultyWriter) Cancel(ctx context.Context) error {
	return w.driver.do(func() error { return w.FileWriter.Cancel(ctx) })
}

func (w *faultyWriter) Close() error {
	return w.driver.do(w.FileWriter.Close)
}
