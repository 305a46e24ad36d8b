package server

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/metrics"
)

// listenWith listens with so many places for senders.
func listenWith(t *testing.T, places int) *boundedListener {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var live atomic.Pointer[connLimits]
	live.Store(&connLimits{stall: time.Minute})
	files := newSenders(places)
	files.asked.Store(int64(time.Hour)) // for as long as a test takes
	l := newBoundedListener(socket.(*net.TCPListener), &live, files, func(metrics.ConnectionLimit) {})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// accepted is a connection from both its ends.
func accepted(t *testing.T, l *boundedListener) (server net.Conn, client net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return server, client
}

func fileOf(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestSendFile(t *testing.T) {
	t.Parallel()
	content := randomBytes(5*sendTurn/2 + 1)
	size := int64(len(content))
	l := listenWith(t, 1)
	for name, c := range map[string]struct {
		skip, limit int64
		want        []byte
	}{
		"all":           {0, size, content},
		"a small part":  {sendTurn, 10, content[sendTurn : sendTurn+10]},
		"whole turns":   {1, 2 * sendTurn, content[1 : 2*sendTurn+1]},
		"nothing":       {0, 0, nil},
		"beyond":        {0, size + sendTurn, content}, // the file is shorter than it was
		"after its end": {size, 1, nil},
	} {
		f := fileOf(t, content)
		if _, err := f.Seek(c.skip, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		server, client := accepted(t, l)
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(client)
			got <- b
		}()
		src := &io.LimitedReader{R: f, N: c.limit}
		n, err := server.(io.ReaderFrom).ReadFrom(src)
		_ = server.Close()
		if b := <-got; err != nil || n != int64(len(c.want)) || src.N != c.limit-n || !bytes.Equal(b, c.want) {
			t.Errorf("%s: sent %d, received %d, want %d; %d left; %v", name, n, len(b), len(c.want), src.N, err)
		}
	}
}

// A client that takes nothing has no place among the senders, and one that left frees it.
func TestSendersDoNotWait(t *testing.T) {
	t.Parallel()
	content := randomBytes(32 << 20) // more than the sockets take by themselves
	l := listenWith(t, 1)
	send := func(server net.Conn) chan error {
		ended := make(chan error, 1)
		f := fileOf(t, content)
		go func() {
			_, err := server.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: f, N: int64(len(content))})
			ended <- err
		}()
		return ended
	}
	idle, idler := accepted(t, l)
	stuck := send(idle)
	if _, err := io.ReadFull(idler, make([]byte, sendTurn)); err != nil {
		t.Fatal(err)
	}
	server, client := accepted(t, l)
	ended := send(server)
	b := make([]byte, len(content))
	if _, err := io.ReadFull(client, b); err != nil || !bytes.Equal(b, content) {
		t.Errorf("received with an error: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = idler.Close()
	if err := <-stuck; !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client that left: %v", err)
	}
	if n := len(l.senders.places); n != 0 {
		t.Errorf("%d places are held by nobody", n)
	}
}

// What a download allocates does not depend on its size.
func TestSendFileAllocations(t *testing.T) {
	l := listenWith(t, 1)
	server, client := accepted(t, l)
	go func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{client}, make([]byte, 256<<10))
	}()
	allocations := func(turns int) float64 {
		f := fileOf(t, make([]byte, turns*sendTurn))
		return testing.AllocsPerRun(10, func() {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			n, err := server.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: f, N: int64(turns * sendTurn)})
			if err != nil || n != int64(turns*sendTurn) {
				t.Fatal(n, err)
			}
		})
	}
	if one, many := allocations(1), allocations(32); many > one+4 {
		t.Errorf("%v allocations for one turn, %v for 32", one, many)
	}
}

// Places are heeded for a while after each request for something else than a file.
func TestSendersHeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSenders(1)
		if time.Sleep(time.Hour); s.heeds() {
			t.Error("before anybody asked")
		}
		for range 2 {
			s.asks()
			if time.Sleep(sendHeed - time.Nanosecond); !s.heeds() {
				t.Error("not for as long as it should")
			}
			if time.Sleep(time.Nanosecond); s.heeds() {
				t.Error("for longer than it should")
			}
		}
	})
}
