package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

type named = v1.Descriptor

// index lists the named images of a layout.
func index(dir string) ([]named, error) {
	p, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	x, err := p.ImageIndex()
	if err != nil {
		return nil, err
	}
	m, err := x.IndexManifest()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(m.Manifests, func(d named) bool { return d.Annotations[ocispec.AnnotationRefName] == "" }), nil
}

// version is an image of a series, taken apart.
type version struct {
	tag string
	in  *oneshot.Inspection
	// source are the layers as the image has them, lowest first.
	source []layoutLayer
	// packages are those of the rpm database; none where there is no such database.
	packages []rpmPackage
	// owner is, for each entry of the tree, the position of the package that owns it, or -1.
	owner []int
	// built is when the newest package was built, in seconds since the Unix epoch.
	built int64
}

// rpmPackage is a binary package.
type rpmPackage struct {
	name    string
	changes []int64 // times of the changelog, newest first
}

func (v *version) tree() *tree.Tree { return v.in.Tree }

// open takes an image apart. Close the inspection.
func open(ctx context.Context, i *oneshot.Inspector, s *series, tag, work string) (*version, error) {
	in, err := i.Inspect(ctx, s.ref(tag))
	if err != nil {
		return nil, err
	}
	v := &version{tag: tag, in: in, owner: make([]int, len(in.Tree.Entries))}
	for _, l := range in.Image.Manifest.Layers {
		v.source = append(v.source, layoutLayer{l.Digest.String(), l.Size})
	}
	if err := v.readPackages(ctx, work); err != nil {
		return nil, errors.Join(fmt.Errorf("packages of %s: %w", tag, err), in.Close())
	}
	return v, nil
}

// readPackages reads which binary package owns what: Strata itself looks at source packages.
func (v *version) readPackages(ctx context.Context, work string) error {
	for i := range v.owner {
		v.owner[i] = -1
	}
	view := rootfs.New(v.tree(), v.in.Contents(ctx))
	return rpmdb.Read(ctx, view, work, &packageSink{v: v, view: view, of: map[string]int{}})
}

// packageSink takes the packages of a database. Of several packages that own a path, the first by name has it.
type packageSink struct {
	v    *version
	view *rootfs.View
	of   map[string]int
	last int // the package whose files are taken
}

var _ installed.Sink = (*packageSink)(nil)

// Package implements installed.Sink. Packages of one name in several architectures or versions count as one.
func (s *packageSink) Package(p *installed.Package) error {
	n, ok := s.of[p.Name]
	if !ok {
		n = len(s.v.packages)
		s.of[p.Name] = n
		s.v.packages = append(s.v.packages, rpmPackage{name: strings.Clone(p.Name)})
	}
	mine := &s.v.packages[n]
	mine.changes = append(mine.changes, p.Changes...)
	s.v.built = max(s.v.built, p.BuildTime)
	s.last = n
	return nil
}

// File implements installed.Sink.
func (s *packageSink) File(f *installed.File) error {
	i, ok := s.view.Locate(f.Path)
	if !ok || s.v.tree().Entries[i].Kind == tree.Dir {
		return nil
	}
	if o := s.v.owner[i]; o < 0 || s.v.packages[s.last].name < s.v.packages[o].name {
		s.v.owner[i] = s.last
	}
	return nil
}

// Warn implements installed.Sink.
func (s *packageSink) Warn(string) {}

// leaves are the entries that a layout places: all but directories that hold something.
func (v *version) leaves() []int {
	t := v.tree()
	var out []int
	for i := range t.Entries {
		if t.Entries[i].Kind == tree.Dir && (t.Entries[i].Path == "." ||
			i+1 < len(t.Entries) && tree.Within(t.Entries[i+1].Path, t.Entries[i].Path)) {
			continue
		}
		out = append(out, i)
	}
	return out
}

// objects maps each entry to the first that has its name or one of its other names. With content, regular files of equal
// headers and content count as one, too, as in an OSTree repository.
func (v *version) objects(content bool) []int {
	t := v.tree()
	first := map[string]int{}
	out := make([]int, len(t.Entries))
	for i := range t.Entries {
		e := &t.Entries[i]
		key := e.Link
		if content && e.Kind == tree.Regular && e.Size > 0 {
			key = fmt.Sprint(e.Digest, e.Mode, e.UID, e.GID, e.Xattrs)
		}
		out[i] = i
		if key == "" {
			continue
		}
		if f, ok := first[key]; ok {
			out[i] = f
		} else {
			first[key] = i
		}
	}
	return out
}

// packageList is a digest of the names and versions of all components, and how many there are.
func (v *version) packageList() (string, int) {
	h := sha256.New()
	n := 0
	for _, c := range v.in.Owners.Components {
		if c.Version != "" {
			fmt.Fprintf(h, "%s\t%s\n", c.ID, c.Version)
			n++
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), n
}

// kernel is the version of the newest directory of modules.
func (v *version) kernel() string {
	const modules = "usr/lib/modules"
	out := "none"
	for i := range v.tree().Entries {
		if p := v.tree().Entries[i].Path; tree.Parent(p) == modules {
			out = p[len(modules)+1:]
		}
	}
	return out
}
