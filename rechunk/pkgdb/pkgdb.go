// Package pkgdb finds out which component every path of a tree belongs to: files that come and go together, such as those of
// one source package, of the kernel, or of one generated cache.
//
// It reads the package databases inside the tree (rpm, dpkg, apk, alpm), what pip and npm record, the places where Nix,
// Guix, flatpak, snap and systemd put things, and the user.component extended attribute, which whoever builds an image may
// set. The databases are outside bytes: bounded, checked and never trusted. A damaged database is reported and
// its packages fall back to the unowned components; it never fails an image.
package pkgdb

import "github.com/strata-oci/strata/rechunk/pkgdb/installed"

// Kind says how a component was found, which is also how its files tend to change.
type Kind uint8

// The kinds of component, in the order in which a path's claims win: a path that several claim belongs to the first.
const (
	// Custom files carry the user.component extended attribute, or the nearest directory above that carries one does.
	Custom Kind = iota + 1
	// Kernel files are one kernel's image, modules and device trees (usr/lib/modules/VERSION, boot).
	Kernel
	// Initramfs is generated on every build of the image, beside the kernel.
	Initramfs
	// Volatile files differ in every build though nothing changed: package databases, logs, host keys, and caches that no
	// package ships.
	Volatile
	// Package files are owned by the packages of one source package, or by what came without a package manager.
	Package
	// Large is one big file that nothing owns.
	Large
	// Rest is everything else, directories that nothing owns included.
	Rest
)

// Component is a set of files that come and go together.
type Component struct {
	// ID is unique in an image and stable over versions: "rpm/bash", "dpkg/glibc", "python/flask", "nix/glibc",
	// "custom/NAME", "kernel", "kernel/extra", "initramfs", "volatile/rpmdb", "volatile/PATH", "large/PATH", "rest". Apart
	// from what paths hold, there is no version number in it. It is printable UTF-8: other bytes are escaped as in Go's
	// string literals.
	ID   string
	Kind Kind
	// Version is that of the source package in its own notation (rpm: version and release), several in ascending byte order
	// joined by ", "; empty when there is none. A kernel has that of its package.
	Version string
	// Changes are the distinct times of the package's changelog entries in seconds since the Unix epoch, newest first, at
	// most MaxChanges; empty when unknown.
	Changes []int64
	// BuildTime is the newest build time of the component's packages in seconds since the Unix epoch; 0 when unknown.
	BuildTime int64
	// Interval is the update interval in seconds that user.update-interval announces; 0 when it is not given.
	Interval int64
}

// MaxChanges bounds Component.Changes.
const MaxChanges = installed.MaxChanges

// Owners assigns every entry of a tree to a component.
type Owners struct {
	// Components are in ascending order of their IDs.
	Components []Component
	// Of holds, for each position in Tree.Entries, the position of its component in Components.
	Of []int32
	// Warnings are what was wrong with the databases, one for each kind.
	Warnings []Warning
}
