// Package hostile holds tests that attack the running program: with upstreams that lie, images that are bombs, and clients
// that take more than their share. Each test stands for a kind of attack that docs/security.md names. "make test-hostile"
// runs them at the program's own limits; with -short they are smaller.
package hostile
