package server

import (
	"io"
	"runtime"
	"testing"
)

// A peer that takes something is told from one that does not, also where the kernel wants no more to send.
func TestQueued(t *testing.T) {
	t.Parallel()
	server, client := accepted(t, listenWith(t, 1))
	s, err := newFileSender(server.(*boundedConn), fileOf(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20 // more than the client's socket takes by itself
	written := make(chan error, 1)
	go func() {
		_, err := server.Write(make([]byte, size))
		written <- err
	}()
	for s.queued() == 0 {
		runtime.Gosched()
	}
	if _, err := io.CopyN(io.Discard, client, size); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	for s.queued() > 0 { // the last acknowledgements are on their way
		runtime.Gosched()
	}
}
