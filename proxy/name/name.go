// Package name holds the names that clients use for repositories and the rules that turn a request's path into one.
package name

import "strings"

// Repository is a repository on an upstream registry: the registry's host, with port if it has one, and the path there.
type Repository struct {
	Host string // "ghcr.io", "localhost:5000"
	Path string // "ublue-os/bluefin"
}

// String returns "host/path".
func (r Repository) String() string { return r.Host + "/" + r.Path }

// Reference is a tag or a digest ("sha256:…").
type Reference string

// IsDigest reports whether the reference is a digest.
func (r Reference) IsDigest() bool { return strings.Contains(string(r), ":") }
