// Package redistest starts real Redis servers for tests.
package redistest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a Redis that listens on a socket in a directory of its own.
type Server struct {
	// Address is "unix://" and the socket's path.
	Address string
	socket  string
	command *exec.Cmd
}

// Start starts a Redis that ends with the test. Without redis-server the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir is longer than the path of a socket may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{socket: filepath.Join(dir, "s")}
	s.Address = "unix://" + s.socket
	t.Cleanup(s.Kill)
	s.Restart(t)
	return s
}

// Restart starts the server anew, with nothing in it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	s.command = exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no",
		"--dir", filepath.Dir(s.socket))
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	defer client.Close()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	for client.Ping(ctx).Err() != nil {
		select {
		case <-ctx.Done():
			t.Fatal("redis-server does not come up")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Client connects to the server. The caller closes it.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, MaxRetries: -1})
}

// Kill ends the server as a crash would. It may be called again.
func (s *Server) Kill() {
	if s.command != nil {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
		s.command = nil
	}
}
