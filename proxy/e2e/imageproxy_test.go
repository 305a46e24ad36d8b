package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// imageProxy speaks to "skopeo experimental-image-proxy" as bootc does: JSON messages over a SOCK_SEQPACKET pair on its
// standard input, contents through pipes whose ends come with the answers.
type imageProxy struct {
	tb     testing.TB
	cmd    *exec.Cmd
	fd     int
	stderr bytes.Buffer
}

// imageProxyMessage bounds a message, in bytes; both sides agree on it.
const imageProxyMessage = 32 << 10

// newImageProxy starts it with a skopeo and its flags.
func newImageProxy(tb testing.TB, skopeo string, flags ...string) *imageProxy {
	tb.Helper()
	need(tb, skopeo)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "image proxy")
	defer theirs.Close()
	p := &imageProxy{tb: tb, fd: fds[0]}
	p.cmd = exec.Command(skopeo, append(flags, "experimental-image-proxy", "--tls-verify=false")...)
	p.cmd.Stdin, p.cmd.Stderr = theirs, &p.stderr
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = syscall.Close(p.fd)
		_ = p.cmd.Wait()
	})
	p.call("Initialize")
	return p
}

// answer is what comes back from a call. pipe is nil when there is none.
type answer struct {
	Success bool            `json:"success"`
	Value   json.RawMessage `json:"value"`
	PipeID  uint32          `json:"pipeid"`
	Error   string          `json:"error"`
	pipe    *os.File
}

// call sends a request and waits for the answer.
func (p *imageProxy) call(method string, args ...any) answer {
	p.tb.Helper()
	a, err := p.exchange(method, args)
	if err != nil {
		p.tb.Fatalf("image proxy: %s %v: %v\n%s", method, args, err, p.stderr.String())
	}
	return a
}

func (p *imageProxy) exchange(method string, args []any) (answer, error) {
	if args == nil {
		args = []any{}
	}
	request, err := json.Marshal(map[string]any{"method": method, "args": args})
	if err != nil {
		return answer{}, err
	}
	if err := syscall.Sendmsg(p.fd, request, nil, nil, 0); err != nil {
		return answer{}, err
	}
	buf, oob := make([]byte, imageProxyMessage), make([]byte, syscall.CmsgSpace(4))
	n, oobn, _, _, err := syscall.Recvmsg(p.fd, buf, oob, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(buf[:n], &a); err != nil {
		return a, err
	}
	if !a.Success {
		return a, fmt.Errorf("%s", a.Error)
	}
	a.pipe, err = passedFile(oob[:oobn])
	return a, err
}

// passedFile returns the file that came with a message, or nil.
func passedFile(oob []byte) (*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), nil
}

// fetch calls a method that gives content, and writes that to w. The pipe ends when the proxy is told to finish it.
func (p *imageProxy) fetch(w io.Writer, method string, args ...any) answer {
	p.tb.Helper()
	a := p.call(method, args...)
	if a.pipe == nil {
		p.tb.Fatalf("image proxy: %s gave no pipe", method)
	}
	defer a.pipe.Close()
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, a.pipe)
		read <- err
	}()
	p.call("FinishPipe", a.PipeID)
	if err := <-read; err != nil {
		p.tb.Fatalf("image proxy: %s: %v", method, err)
	}
	return a
}

// open opens an image, "docker://…".
func (p *imageProxy) open(image string) json.RawMessage {
	p.tb.Helper()
	return p.call("OpenImage", image).Value
}

// close ends the program in an orderly way.
func (p *imageProxy) close(image json.RawMessage) {
	p.tb.Helper()
	p.call("CloseImage", image)
	// The program ends without an answer.
	if err := syscall.Sendmsg(p.fd, []byte(`{"method":"Shutdown","args":[]}`), nil, nil, 0); err != nil {
		p.tb.Error(err)
	}
}
