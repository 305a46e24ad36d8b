package encoder

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// apart puts the process into a group of its own, which ends as a whole.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
}

// restrict sets the limits of a process that has just begun: no files, no more memory and processor time than options say,
// and only what is left of the processor. A process that has ended already needs none.
func restrict(pid int, o Options) error {
	seconds := uint64(o.Processor/time.Second) + 1
	var errs []error
	for _, limit := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_AS, uint64(o.Memory)},
		{unix.RLIMIT_CPU, seconds},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, 16},
	} {
		errs = append(errs, unix.Prlimit(pid, limit.what, &unix.Rlimit{Cur: limit.most, Max: limit.most}, nil))
	}
	errs = append(errs, unix.Setpriority(unix.PRIO_PGRP, pid, 19))
	for _, err := range errs {
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// processor is how much processor time a process has taken; 0 when it has ended.
func processor(pid int) time.Duration {
	const whole = 2 // CPUCLOCK_SCHED, of all its threads: clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|whole), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// queue is how long the threads that a process has now were ready to run while others had the processors (the kernel's
// Documentation/scheduler/sched-stats.rst); 0 where it does not tell.
func queue(pid int) time.Duration {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var all time.Duration
	for _, t := range threads {
		b, err := os.ReadFile(filepath.Join(dir, t.Name(), "schedstat")) // time run, time queued, times run
		if fields := strings.Fields(string(b)); err == nil && len(fields) == 3 {
			n, _ := strconv.ParseInt(fields[1], 10, 64) // 0 as for a kernel that does not tell
			all += time.Duration(n)
		}
	}
	return all
}
