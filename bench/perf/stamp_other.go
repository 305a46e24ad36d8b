//go:build !linux

package main

import (
	"net"
	"time"
)

// stamped reads answers; when they arrived, only Linux says.
type stamped struct{ *net.TCPConn }

func newStamped(conn *net.TCPConn) (*stamped, error) { return &stamped{conn}, nil }

// since is how long it took from a time on until now.
func (*stamped) since(start time.Time) time.Duration { return time.Since(start) }
