// Package name holds the names that clients use for repositories and the rules that turn a request's path into one.
package name

import "strings"

// Repository is a repository on an upstream registry: the registry's host, with port if it has one, and the path there. Only
// a Parser makes one, so that a Repository is always one by the grammar, in its canonical form; the zero value is none.
// Repositories can be compared with == and be keys of maps.
type Repository struct {
	host string // "ghcr.io", "localhost:5000"
	path string // "ublue-os/bluefin"
}

// Host returns the registry's host, with port if it has one: "ghcr.io", "localhost:5000".
func (r Repository) Host() string { return r.host }

// Path returns the path on the registry: "ublue-os/bluefin".
func (r Repository) Path() string { return r.path }

// String returns "host/path".
func (r Repository) String() string { return r.host + "/" + r.path }

// Reference is a tag or a digest ("sha256:…").
type Reference string

// IsDigest reports whether the reference is a digest.
func (r Reference) IsDigest() bool { return strings.Contains(string(r), ":") }
