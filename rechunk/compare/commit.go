package compare

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/tree"
)

// An ostree-encapsulated image says twice what its filesystem is: by its layers, and by the commit that they hold. What was
// made of it is compared with the commit, too, read by nothing that makes images: a mistake in what both trees came from
// would make them equal.

const repository = "sysroot/ostree/repo/objects/"

// maxCommitObject bounds one object, in bytes.
const maxCommitObject = 64 << 20

// commitDifferences lists the attributes that the source's commit gives to a path and that the served image lacks or has
// another value of, in path order. security.selinux is none of them: clients set it. Paths that the layers above the
// commit's name or remove are theirs, but for directories that they only name. It is empty when the source is not
// encapsulated.
func commitDifferences(ctx context.Context, source, served *rechunk.Inspection) ([]tree.Difference, error) {
	c := &commit{source: source, served: served, contents: source.Contents(ctx), objects: map[string]*tree.Entry{},
		known: map[tree.Digest]map[string]string{}, theirs: map[string]bool{}, removed: map[string]bool{}}
	c.list()
	name := repository + c.object(source.Image.Config.Config.Labels["ostree.commit"]) + ".commit"
	if c.objects[name] == nil {
		return nil, nil
	}
	parts, err := c.read(name, "(a{sv}aya(say)sstayay)")
	if err != nil {
		return nil, err
	}
	return c.walk(place{".", hex.EncodeToString(parts[6]), hex.EncodeToString(parts[7])})
}

// place is a directory of a commit: where the image has it, and the objects with what it holds and what it is.
type place struct{ path, contents, meta string }

// walk checks all directories from the root on, as far as the image has them.
func (c *commit) walk(root place) ([]tree.Difference, error) {
	todo := []place{root}
	for steps := 0; len(todo) > 0; steps++ {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if steps > len(c.source.Tree.Entries) {
			return nil, fmt.Errorf("%w: a commit of more than %d directories", errVariant, steps)
		}
		if e := c.source.Tree.Lookup(d.path); e == nil || e.Kind != tree.Dir {
			continue
		}
		if err := c.check(d.path, repository+c.object(d.meta)+".dirmeta", "(uuua(ayay))"); err != nil {
			return nil, err
		}
		if d.path == "sysroot" {
			continue
		}
		below, err := c.directory(d)
		if err != nil {
			return nil, err
		}
		todo = append(todo, below...)
	}
	slices.SortFunc(c.out, func(a, b tree.Difference) int { return tree.ComparePaths(a.Path, b.Path) })
	return c.out, nil
}

// directory checks the files of a directory and lists the directories below it.
func (c *commit) directory(d place) (below []place, err error) {
	parts, err := c.read(repository+c.object(d.contents)+".dirtree", "(a(say)a(sayay))")
	if err != nil {
		return nil, err
	}
	if err := c.files(d.path, parts[0]); err != nil {
		return nil, err
	}
	children, err := split("a(sayay)", parts[1])
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		m, err := split("(sayay)", child)
		if err != nil {
			return nil, err
		}
		p := c.path(d.path, m[0])
		if e := c.source.Tree.Lookup(p); e == nil || e.Kind != tree.Dir {
			continue
		}
		below = append(below, place{p, hex.EncodeToString(m[1]), hex.EncodeToString(m[2])})
	}
	return below, nil
}

// commit is a source's commit on its way through commitDifferences.
type commit struct {
	source, served *rechunk.Inspection
	contents       tree.Contents
	objects        map[string]*tree.Entry
	known          map[tree.Digest]map[string]string // attributes, by what they were read of
	theirs         map[string]bool                   // paths of files in the layers above
	removed        map[string]bool
	out            []tree.Difference
}

// list finds the repository's objects, and what the layers above the commit's have.
func (c *commit) list() {
	final := c.source.Image.Config.Config.Labels["ostree.final-diffid"]
	above := false
	for i, l := range c.source.Layers {
		for k := range l.Entries {
			e := &l.Entries[k]
			if strings.HasPrefix(e.Path, repository) {
				c.objects[e.Path] = e
			}
			if above && e.Kind != tree.Dir {
				c.theirs[e.Path] = true
			}
		}
		if above {
			for _, k := range l.Links {
				c.theirs[k.Path] = true
			}
			for _, p := range append(slices.Clone(l.Whiteouts), l.Opaque...) {
				c.removed[p] = true
			}
		}
		above = above || i < len(c.source.Image.Config.RootFS.DiffIDs) &&
			c.source.Image.Config.RootFS.DiffIDs[i].String() == final
	}
}

// object is where an object is in the repository, without what kind it is.
func (*commit) object(sum string) string {
	return sum[:min(2, len(sum))] + "/" + sum[min(2, len(sum)):]
}

// path joins a directory's path with a name that ends in NUL, as images have it.
func (c *commit) path(dir string, name []byte) string {
	p := strings.TrimPrefix(dir+"/"+strings.TrimSuffix(string(name), "\x00"), "./")
	if p == "usr/etc" && c.source.Tree.Lookup("etc") != nil {
		return "etc"
	}
	return p
}

// read reads an object and divides it.
func (c *commit) read(name, typ string) ([][]byte, error) {
	e := c.objects[name]
	if e == nil || e.Kind != tree.Regular || e.Size > maxCommitObject {
		return nil, fmt.Errorf("%w: %q is missing, or no object", errVariant, name)
	}
	r, err := c.contents.Open(e.Digest)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	out, err := split(typ, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// files checks the files of a directory.
func (c *commit) files(dir string, list []byte) error {
	files, err := split("a(say)", list)
	if err != nil {
		return err
	}
	for _, f := range files {
		m, err := split("(say)", f)
		if err != nil {
			return err
		}
		name := repository + c.object(hex.EncodeToString(m[1])) + ".file-xattrs"
		if c.objects[name+"-link"] != nil {
			name += "-link"
		}
		if p := c.path(dir, m[0]); c.objects[name] != nil && !c.theirs[p] {
			if err := c.check(p, name, "a(ayay)"); err != nil {
				return err
			}
		}
	}
	return nil
}

// check holds a path of the served image to the attributes in an object.
func (c *commit) check(path, object, typ string) error {
	given, err := c.attributes(object, typ)
	if err != nil || len(given) == 0 {
		return err
	}
	for p := path; ; p = tree.Parent(p) {
		if c.removed[p] {
			return nil
		}
		if p == "." {
			break
		}
	}
	e := c.served.Tree.Lookup(path)
	if e == nil || c.source.Tree.Lookup(path) == nil {
		return nil // Strata's own rules took it out, or a layer, or the trees' comparison tells of it
	}
	want := maps.Clone(given)
	c.own(want, path, object)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := e.Xattr(name); !ok || got != want[name] {
			c.out = append(c.out, tree.Difference{Path: path, What: "xattrs",
				A: fmt.Sprintf("%.100q=%.100q in the commit", name, want[name]), B: fmt.Sprintf("%.100q", got)})
			break
		}
	}
	return nil
}

// attributes reads those in an object, a(ayay) or the last member of another type, but for security.selinux. Nobody changes
// what it returns.
func (c *commit) attributes(object, typ string) (map[string]string, error) {
	e := c.objects[object]
	if e != nil {
		if known, ok := c.known[e.Digest]; ok {
			return known, nil
		}
	}
	list, err := c.read(object, typ)
	if err == nil && typ != "a(ayay)" {
		list, err = split("a(ayay)", list[len(list)-1])
	}
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, x := range list {
		m, err := split("(ayay)", x)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", object, err)
		}
		out[strings.TrimSuffix(string(m[0]), "\x00")] = string(m[1])
	}
	delete(out, "security.selinux")
	c.known[e.Digest] = out
	return out, nil
}

// own takes out the attributes that the layers themselves give to a path, which count before the commit's.
func (c *commit) own(want map[string]string, path, object string) {
	file := strings.TrimSuffix(strings.TrimSuffix(object, "-link"), "-xattrs")
	for _, l := range c.source.Layers {
		t := tree.Tree{Entries: l.Entries}
		for _, p := range []string{path, file} {
			if e := t.Lookup(p); e != nil {
				for _, x := range e.Xattrs {
					if want[x.Name] != x.Value {
						delete(want, x.Name)
					}
				}
			}
		}
	}
}
