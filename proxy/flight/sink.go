package flight

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// cancelTimeout bounds the removal of a failed blob, which goes on after the download's own context has ended.
const cancelTimeout = 30 * time.Second

// sinkWriter hands a download's bytes to the Sink. After the Sink's first error it takes bytes and drops them, because
// readers do without the Sink; commit returns that error.
type sinkWriter struct {
	sink   Sink
	digest digest.Digest
	w      Writer
	err    error
}

// open begins the blob and returns the file that it is written to, if it is one.
func (s *sinkWriter) open(ctx context.Context) *os.File {
	if s.sink == nil {
		return nil
	}
	if s.w, s.err = s.sink.Create(ctx, s.digest); s.err != nil {
		s.w = nil
		return nil
	}
	f, err := s.w.Open()
	if err != nil {
		s.err = err
		return nil
	}
	return f
}

// write reports whether the Sink has taken the bytes.
func (s *sinkWriter) write(p []byte) bool {
	if s.err == nil && s.w != nil {
		_, s.err = s.w.Write(p)
	}
	return s.err == nil
}

// commit makes the blob visible, or returns why it is not.
func (s *sinkWriter) commit(ctx context.Context) error {
	if s.err == nil && s.w == nil { // an empty blob
		if f := s.open(ctx); f != nil {
			defer f.Close()
		}
	}
	if s.err == nil && s.w != nil {
		s.err = s.w.Commit(ctx)
	}
	if s.err == nil {
		return nil
	}
	if err := s.cancel(ctx); err != nil {
		return fmt.Errorf("%w; what was written could not be removed: %w", s.err, err)
	}
	return s.err
}

// cancel drops what was written, also when ctx has ended.
func (s *sinkWriter) cancel(ctx context.Context) error {
	if s.w == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	return s.w.Cancel(ctx)
}

// settle records the Sink's verdict on a verified blob.
func (f *flight) settle(sinkErr error) {
	failed := sinkErr != nil
	if !failed && f.spool.follows() {
		f.spool.unbook() // the file is the store's now
	}
	switch said := f.group.sinkFails.Swap(failed); {
	case failed && !said:
		f.group.log.Warn("blob was served but not stored; more that are not are logged at debug level", "digest",
			f.key.Digest, "error", sinkErr)
	case failed:
		f.group.log.Debug("blob was served but not stored", "digest", f.key.Digest, "error", sinkErr)
	case said:
		f.group.log.Info("blobs are stored again", "digest", f.key.Digest)
	}
	if failed {
		sinkErr = fmt.Errorf("store %s: %w", f.key, sinkErr)
	}
	f.update(func() { f.settled, f.sinkErr = true, sinkErr })
}

// unstored reports whether the blob is complete but the Sink doesn't have it.
func (f *flight) unstored() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled && f.sinkErr != nil
}

// storeAgain offers a verified blob to the Sink once more, from the temporary file. Of several callers one does it at a
// time, and none any more after it went well.
func (f *flight) storeAgain(ctx context.Context) error {
	select {
	case f.storing <- struct{}{}:
		defer func() { <-f.storing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.unstored() {
		f.settle(f.replay(ctx))
	}
	return f.awaitStored(ctx)
}

// replay copies the temporary file to the Sink.
func (f *flight) replay(ctx context.Context) error {
	w := &sinkWriter{sink: f.group.opts.Sink, digest: f.key.Digest}
	if file := w.open(ctx); file != nil {
		defer file.Close() // readers have the bytes
	}
	buf := make([]byte, copyBuffer)
	for off := int64(0); off < f.size && w.err == nil; {
		p := buf[:min(int64(len(buf)), f.size-off)]
		if w.err = f.spool.readAt(p, off); w.err == nil {
			w.write(p)
		}
		if w.err == nil && ctx.Err() != nil {
			w.err = context.Cause(ctx)
		}
		off += int64(len(p))
	}
	return w.commit(ctx)
}
