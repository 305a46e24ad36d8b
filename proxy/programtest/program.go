// Package programtest runs the strata program for tests: as a process of its own, with its log, what it takes of the
// machine, and, where the kernel lets it, within a container's limit of memory.
package programtest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for something that is sure to come.
const Patience = time.Minute

// Build builds the program into a directory and returns its path.
func Build(dir string) (string, error) {
	program := filepath.Join(dir, "strata")
	build := exec.Command("go", "build", "-o", program, "github.com/strata-oci/strata/cmd/proxy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building strata: %w\n%s", err, out)
	}
	return program, nil
}

// Options say what is run.
type Options struct {
	// Program is what Build returned.
	Program string
	// Config is the path of the configuration.
	Config string
	// Dir is the home of the process and the directory that it runs in.
	Dir string
	// Env is further environment.
	Env []string
	// Memory bounds the process as a container's limit does, in bytes, where this user may make such limits; 0 is no bound.
	// A process that reaches the bound is killed.
	Memory int64
}

// Program is a strata serve under test. Its methods are for the test's goroutine, but for Get and Log.
type Program struct {
	// Clients and Operators are the addresses of the two listeners, host:port.
	Clients, Operators string
	// Log is what the process logs, as JSON.
	Log *Log
	// Limited reports whether Options.Memory holds.
	Limited bool

	tb     testing.TB
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start runs strata serve, as Run does.
func Start(tb testing.TB, o Options) *Program {
	tb.Helper()
	args := []string{o.Program, "serve", "--config", o.Config}
	group := memoryGroup(tb, o.Memory)
	if group != "" {
		// A shell enters the group and becomes the program.
		args = append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = o.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "TMPDIR=" + os.TempDir()}, o.Env...)
	p := Run(tb, cmd)
	p.Limited = group != ""
	return p
}

// Run runs a command that ends as strata serve, logging JSON, and waits until it listens. The process ends with the test,
// which fails if it does not end well then; it may be ended before.
func Run(tb testing.TB, cmd *exec.Cmd) *Program {
	tb.Helper()
	p := &Program{Log: newLog(), tb: tb, cmd: cmd, exited: make(chan struct{})}
	cmd.Stderr = p.Log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // ProcessState has the exit code
		p.Log.end()
		close(p.exited)
	}()
	tb.Cleanup(p.cleanup)
	p.Clients, p.Operators = p.listening("clients"), p.listening("operators")
	return p
}

// groups numbers the groups of a test process.
var groups atomic.Int64

// memoryGroup makes a control group with a bound on memory, which goes with the test. It returns "" where that can't be
// done.
func memoryGroup(tb testing.TB, limit int64) string {
	tb.Helper()
	const root = "/sys/fs/cgroup/memory"
	dir := fmt.Sprintf("%s/strata-test-%d-%d", root, os.Getpid(), groups.Add(1))
	if limit == 0 || os.Mkdir(dir, 0o755) != nil {
		return ""
	}
	tb.Cleanup(func() { _ = os.Remove(dir) })
	if os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), fmt.Append(nil, limit), 0o644) != nil {
		return ""
	}
	return dir
}

// listening waits until the process answers somebody and returns the address.
func (p *Program) listening(who string) string {
	p.tb.Helper()
	line := p.Log.Await(p.tb, func(l Line) bool { return l["msg"] == "listening for "+who })
	url, ok := line["url"].(string)
	if !ok {
		p.tb.Fatalf("strata logged no URL: %v", line)
	}
	_, addr, _ := strings.Cut(url, "://")
	return addr
}

// Running reports whether the process has not ended.
func (p *Program) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process as a power cut would.
func (p *Program) Kill() {
	p.tb.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.tb.Fatal(err)
	}
	<-p.exited
}

// Terminate asks the process to end.
func (p *Program) Terminate() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.tb.Fatal(err)
	}
}

// Wait returns the exit code of a process that was asked to end.
func (p *Program) Wait() int {
	p.tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		p.tb.Error("strata serve did not end")
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *Program) cleanup() {
	if p.Running() {
		p.Terminate()
		if code := p.Wait(); code != 0 {
			p.tb.Errorf("strata serve ended with exit code %d", code)
		}
	}
	if !p.tb.Failed() {
		return
	}
	for _, line := range p.Log.Find(func(l Line) bool { return l["level"] != "INFO" || l["msg"] != "request" }) {
		p.tb.Log("strata:", line)
	}
}

// PeakMemory is the most memory that the process has held at once, in bytes, as the kernel counts it (VmHWM).
func (p *Program) PeakMemory() int64 {
	p.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		p.tb.Fatalf("VmHWM: %v", err)
	}
	return kib << 10
}

// Children is the number of programs that the process runs.
func (p *Program) Children() int {
	p.tb.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	n := 0
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if err == nil { // else the thread has ended
			n += len(strings.Fields(string(b)))
		}
	}
	return n
}

// OpenFiles is the number of file descriptors that the process has, sockets included.
func (p *Program) OpenFiles() int {
	p.tb.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	return len(files)
}

// Metric returns the sum of a metric's values over all of its labels, as the operators' listener tells them.
func (p *Program) Metric(name string) float64 {
	p.tb.Helper()
	resp, err := http.Get("http://" + p.Operators + "/metrics") //nolint:noctx // the test ends the process
	if err != nil {
		p.tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.tb.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(b)) {
		labelled, found := strings.CutPrefix(line, name)
		if !found || labelled[0] != '{' && labelled[0] != ' ' {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(labelled[strings.LastIndexByte(labelled, ' ')+1:], &v); err != nil {
			p.tb.Fatalf("metric %s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// DiskUse is what the files below a directory take on the disk, in bytes; holes take nothing.
func DiskUse(tb testing.TB, dir string) int64 {
	tb.Helper()
	var sum int64
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	return sum
}

// NamelessFiles is what the open files of the process take that have no name any more, in bytes.
func (p *Program) NamelessFiles() int64 {
	p.tb.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		p.tb.Fatal(err)
	}
	var sum int64
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
	}
	return sum
}
