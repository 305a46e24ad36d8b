//go:build !linux

package encoder

import (
	"os/exec"
	"time"
)

// apart does nothing here: a process of its own ends with the context by itself.
func apart(*exec.Cmd) {}

// restrict does nothing here: memory and processor time of encoders are not bounded but on Linux.
func restrict(int, Options) error { return nil }

// processor can't be told here: every program is taken for one that computes, and only how long it takes counts.
func processor(int) time.Duration { return time.Duration(time.Now().UnixNano()) }

// queue can't be told here.
func queue(int) time.Duration { return 0 }
