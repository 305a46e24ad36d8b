//go:build !linux

package encoder

import "os/exec"

// apart does nothing here: a process of its own ends with the context by itself.
func apart(*exec.Cmd) {}

// restrict does nothing here: memory and processor time of encoders are not bounded but on Linux.
func restrict(int, Options) error { return nil }
