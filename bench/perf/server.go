package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// server is a process that answers on a loopback address.
type server struct {
	name    string
	address string
	// ready is how long it took from the start to the first answer.
	ready time.Duration
	cmd   *exec.Cmd
	ended chan error
}

// freeAddress is a loopback address that nobody listens on just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const startTimeout = time.Minute

// start starts a server and waits until it answers GET path. What it logs is dropped: each server writes its usual access log to
// /dev/null.
func start(ctx context.Context, name, address, path, program string, args ...string) (*server, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	s := &server{name: name, address: address, cmd: exec.Command(program, args...), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = null, null
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
			return nil, errors.Join(context.Cause(ctx), s.stop())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(began) > startTimeout {
			return nil, errors.Join(fmt.Errorf("%s does not answer after %s", name, startTimeout), s.stop())
		}
	}
	s.ready = time.Since(began)
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

// stop ends the server and waits for its end.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("%s did not end in time", s.name)
	}
}

// resident is the memory that the server has now, in bytes.
func (s *server) resident() int64 { return statusBytes(s.cmd.Process.Pid, "VmRSS") }

// cpu is the time that the server has worked so far, its workers included.
func (s *server) cpu() time.Duration {
	total := processCPU(s.cmd.Process.Pid)
	for _, pid := range children(s.cmd.Process.Pid) {
		total += processCPU(pid)
	}
	return total
}
