package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// gcPercent keeps garbage small beside what lives: encoders and decoders are few but have megabytes each, and collecting
// them twice as often costs next to nothing. The environment's GOGC takes precedence.
const gcPercent = 25

func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// ballast is memory that is never touched, and so never there, in bytes. The collector counts it as living and lets a
// quarter as much garbage come together: a server that lives on a few megabytes would else be collected dozens of times a
// second under load.
const ballast = 64 << 20

// softLimit is how much memory the proxy takes before the collector works harder, in bytes: what a hostile image may make it
// hold (tree.Limits) and the garbage on top stay within what docs/security.md says.
const softLimit = 640 << 20

// tuneServer sets the soft limit and holds the ballast until drop is called. The environment's GOMEMLIMIT takes precedence;
// there is no ballast then, since it would count.
func tuneServer() (drop func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetMemoryLimit(softLimit + ballast)
	b := make([]byte, ballast)
	return func() { runtime.KeepAlive(b) }
}
