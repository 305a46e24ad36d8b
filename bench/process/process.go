package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Usage is what a command took.
type Usage struct {
	Wall time.Duration
	CPU  time.Duration // user and system, children included
	RSS  int64         // peak of the process itself, in bytes
}

// Measure runs a command to its end. Its standard output is returned; what it says on standard error becomes part of the
// error.
func Measure(ctx context.Context, name string, args ...string) (Usage, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Usage{}, nil, err
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	u := Usage{Wall: time.Since(start), CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), RSS: peak()}
	if err != nil {
		return u, nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(errs.String(), 5))
	}
	return u, out.Bytes(), nil
}

// BuildStrata builds the program of this checkout at a path.
func BuildStrata(ctx context.Context, path string) error {
	_, _, err := Measure(ctx, "go", "build", "-o", path, "github.com/strata-oci/strata/cmd/proxy")
	return err
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// watchPeak reads a process's highest resident size until the function it returns is called. Getrusage would do if it did
// not count what the parent had in memory at the time of the fork.
func watchPeak(pid int) (stop func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			peak = max(peak, statusBytes(pid, "VmHWM"))
			select {
			case <-tick.C:
			case <-done:
				result <- peak
				return
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}

// statusBytes reads a size from a process's status (proc(5)); 0 when the process is gone.
func statusBytes(pid int, key string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// clockTick is the unit of times in /proc (USER_HZ), the same on every architecture of Linux.
const clockTick = time.Second / 100

// processCPU is the user and system time of a running process, without its children.
func processCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command's name, in parentheses, may hold spaces; utime and stime are fields 14 and 15.
	_, rest, _ := bytes.Cut(b, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick
}

// children lists the processes that a process's main thread started.
func children(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// Peak is the highest resident size of this process, in bytes.
func Peak() int64 { return statusBytes(os.Getpid(), "VmHWM") }
