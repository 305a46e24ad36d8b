package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
)

// gcPercent keeps garbage small beside what lives: encoders and decoders are few but have megabytes each, and collecting them
// twice as often costs next to nothing. The environment's GOGC takes precedence.
const gcPercent = 25

func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// ballast is memory that is never touched, and so never there, in bytes. The collector counts it as living and lets a quarter as much
// garbage come together: a server that lives on a few megabytes would else be collected dozens of times a second under load.
const ballast = 64 << 20

// takeBallast holds the ballast until drop is called. Under a memory limit (GOMEMLIMIT) there is none, since it would count.
func takeBallast() (drop func()) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func() {}
	}
	b := make([]byte, ballast)
	return func() { runtime.KeepAlive(b) }
}
