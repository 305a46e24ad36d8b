package rechunktest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Served is a served image taken apart.
type Served struct {
	Manifest ocispec.Manifest
	Config   ocispec.Image
	// Layers are what the layers hold, lowest first.
	Layers [][]treetest.Item
	// Tree is the filesystem that they give.
	Tree *tree.Tree
}

// Check reads a served image from a store and checks what bootc's backends demand of it, on the bytes. The error says
// everything that is wrong.
func Check(s *MemoryStore, v rechunk.Version) (*Served, error) {
	c := &check{store: s, version: v, out: &Served{}}
	for _, step := range []func() error{c.documents, c.unpack, c.flatten, c.eachLayer, c.directories, c.newWhiteouts} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("served image %s: %w", v.Digest, err)
		}
	}
	return c.out, nil
}

type check struct {
	store   *MemoryStore
	version rechunk.Version
	out     *Served
}

func (c *check) blob(d digest.Digest, size int64) ([]byte, error) {
	b, ok := c.store.Blob(d)
	if !ok {
		return nil, fmt.Errorf("blob %s is not stored", d)
	}
	if digest.FromBytes(b) != d || int64(len(b)) != size {
		return nil, fmt.Errorf("blob %s of %d bytes is not what it is called, %d bytes", d, len(b), size)
	}
	return b, nil
}

func (c *check) documents() error {
	b, err := c.blob(c.version.Digest, c.version.Size)
	if err != nil {
		return err
	}
	m := &c.out.Manifest
	if err := json.Unmarshal(b, m); err != nil {
		return err
	}
	if b, err = c.blob(m.Config.Digest, m.Config.Size); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c.out.Config); err != nil {
		return err
	}
	n := len(m.Layers)
	switch {
	case m.SchemaVersion != 2, m.MediaType != ocispec.MediaTypeImageManifest,
		m.Config.MediaType != ocispec.MediaTypeImageConfig:
		return fmt.Errorf("manifest is not OCI's: %s", b)
	case len(c.out.Config.RootFS.DiffIDs) != n, len(c.version.Layers) != n, c.version.LayersTotal != n:
		return fmt.Errorf("%d layers, %d diff_ids, %d recorded", n, len(c.out.Config.RootFS.DiffIDs), len(c.version.Layers))
	case len(c.out.Config.History) != n:
		return fmt.Errorf("%d layers, %d history entries", n, len(c.out.Config.History))
	}
	for _, h := range c.out.Config.History {
		if h.EmptyLayer {
			return errors.New("history has an empty layer")
		}
	}
	return nil
}

func (c *check) unpack() error {
	for i, l := range c.out.Manifest.Layers {
		b, err := c.blob(l.Digest, l.Size)
		if err != nil {
			return err
		}
		unpack := Unpack
		if toc.Told(l.Annotations) {
			unpack = UnpackFrames
		}
		plain, err := unpack(b)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		if d := digest.FromBytes(plain); d != c.out.Config.RootFS.DiffIDs[i] || d != c.version.Layers[i].DiffID {
			return fmt.Errorf("layer %d: diff_id is %s", i, d)
		}
		gzipped := b[0] == 0x1f
		if gzipped != (l.MediaType == ocispec.MediaTypeImageLayerGzip) || !gzipped &&
			l.MediaType != ocispec.MediaTypeImageLayerZstd {
			return fmt.Errorf("layer %d: media type %s is wrong", i, l.MediaType)
		}
		items, err := Items(plain)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		c.out.Layers = append(c.out.Layers, items)
	}
	return nil
}

func (c *check) flatten() (err error) {
	c.out.Tree, err = treetest.Reference(c.out.Layers...)
	return err
}

// eachLayer checks what holds in every layer for itself: each path once, ancestors first, hardlinks after their target, no
// opaque whiteouts, nothing that is a whiteout and there.
func (c *check) eachLayer() error {
	for n, items := range c.out.Layers {
		seen := map[string]byte{}
		for _, i := range items {
			if _, twice := seen[i.Name]; twice {
				return fmt.Errorf("layer %d has %q twice", n, i.Name)
			}
			if len(seen) == 0 && i.Name != "." {
				return fmt.Errorf("layer %d begins with %q", n, i.Name)
			}
			if kind, ok := seen[path.Dir(i.Name)]; i.Name != "." && (!ok || kind != tar.TypeDir) {
				return fmt.Errorf("layer %d has %q before its directory", n, i.Name)
			}
			if kind, ok := seen[i.Linkname]; i.Typeflag == tar.TypeLink &&
				(!ok || kind == tar.TypeDir || kind == tar.TypeLink) {
				return fmt.Errorf("layer %d has the hardlink %q before its target %q", n, i.Name, i.Linkname)
			}
			seen[i.Name] = i.Typeflag
		}
		for _, w := range whiteouts(items) {
			if _, there := seen[w]; there || path.Base(w) == ".wh..opq" {
				return fmt.Errorf("layer %d has a whiteout of %q, which is opaque or there", n, w)
			}
		}
	}
	return nil
}

// whiteouts lists the paths that a layer hides.
func whiteouts(items []treetest.Item) []string {
	var out []string
	for _, i := range items {
		if name, ok := strings.CutPrefix(path.Base(i.Name), ".wh."); ok {
			out = append(out, path.Join(path.Dir(i.Name), name))
		}
	}
	return out
}

// directories checks that every layer has the final header of every directory that it names, and that no layer has something
// else where the filesystem has a directory or the reverse.
func (c *check) directories() error {
	for n, items := range c.out.Layers {
		for _, i := range items {
			e := c.out.Tree.Lookup(i.Name)
			if e == nil || e.Kind != tree.Dir && i.Typeflag != tar.TypeDir {
				continue
			}
			if e.Kind != tree.Dir || i.Typeflag != tar.TypeDir {
				return fmt.Errorf("layer %d: %q is a directory or hides one", n, i.Name)
			}
			attrs := map[string]string{}
			for _, x := range e.Xattrs {
				attrs["SCHILY.xattr."+x.Name] = x.Value
			}
			got := maps.Clone(i.PAXRecords)
			maps.DeleteFunc(got, func(k, _ string) bool { return !strings.HasPrefix(k, "SCHILY.xattr.") })
			if uint32(i.Mode) != e.Mode || i.Uid != e.UID || i.Gid != e.GID || !maps.Equal(attrs, got) {
				return fmt.Errorf("layer %d: directory %q has another header than the topmost one", n, i.Name)
			}
		}
	}
	return nil
}

// newWhiteouts checks that the layers that the version brought hide only what is there below.
func (c *check) newWhiteouts() error {
	for n, items := range c.out.Layers {
		hidden := whiteouts(items)
		if c.version.Layers[n].Kept || len(hidden) == 0 {
			continue
		}
		below, err := treetest.Reference(c.out.Layers[:n]...)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(hidden, func(w string) bool { return below.Lookup(w) == nil }); i >= 0 {
			return fmt.Errorf("layer %d has a whiteout of %q, which no lower layer shows", n, hidden[i])
		}
	}
	return nil
}
