// Package process runs the programs that benchmarks measure, and reads from proc(5) what they take.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a process that answers on a loopback address.
type Server struct {
	Name    string
	Address string
	// Ready is how long it took from the start to the first answer.
	Ready time.Duration
	cmd   *exec.Cmd
	ended chan error
}

// FreeAddress is a loopback address that nobody listens on just now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const startTimeout = time.Minute

// Start starts a server and waits until it answers GET path. What it logs is dropped: each server writes its usual access
// log to /dev/null.
func Start(ctx context.Context, name, address, path, program string, args ...string) (*Server, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return StartLogging(ctx, null, name, address, path, program, args...)
}

// StartLogging is Start with a file that takes what the server prints.
func StartLogging(ctx context.Context, log *os.File, name, address, path, program string, args ...string) (*Server, error) {
	s := &Server{Name: name, Address: address, cmd: exec.Command(program, args...), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	for !answers(ctx, "http://"+address+path) {
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("%s ended early: %w", name, err)
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), s.Stop())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(began) > startTimeout {
			return nil, errors.Join(fmt.Errorf("%s does not answer after %s", name, startTimeout), s.Stop())
		}
	}
	s.Ready = time.Since(began)
	return s, nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

// Stop ends the server and waits for its end.
func (s *Server) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("%s did not end in time", s.Name)
	}
}

// Kill ends the server as a power cut would, and waits for its end.
func (s *Server) Kill() error {
	err := s.cmd.Process.Kill()
	if err == nil {
		<-s.ended
	}
	return err
}

// Peak is the most memory that the server had so far, in bytes.
func (s *Server) Peak() int64 { return statusBytes(s.cmd.Process.Pid, "VmHWM") }

// Resident is the memory that the server has now, in bytes.
func (s *Server) Resident() int64 { return statusBytes(s.cmd.Process.Pid, "VmRSS") }

// CPU is the time that the server has worked so far, its workers included.
func (s *Server) CPU() time.Duration {
	total := processCPU(s.cmd.Process.Pid)
	for _, pid := range children(s.cmd.Process.Pid) {
		total += processCPU(pid)
	}
	return total
}

// Written is how many bytes the server has had written to disk so far (proc_pid_io(5), write_bytes), without its workers.
func (s *Server) Written() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
