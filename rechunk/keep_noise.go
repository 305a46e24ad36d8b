package rechunk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/noise"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// KeptFile is a file of a served image that holds other bytes than the source's: those that were served before, from which
// the source's differ in build noise only.
type KeptFile struct {
	Path string `json:"path"`
	// Served and Source are the digests of what is served, and of what the source has.
	Served     digest.Digest `json:"served"`
	Source     digest.Digest `json:"source"`
	ServedSize int64         `json:"served_size"`
	SourceSize int64         `json:"source_size"`
	// What names the noise: "times of 1,241 of 1,298 members".
	What string `json:"what"`
}

// String is a line for people.
func (k KeptFile) String() string {
	return fmt.Sprintf("%q: %s differ: %s is served, the source has %s", k.Path, k.What, k.Served, k.Source)
}

// keepNoise has files that differ in build noise only from what was served before stay as they were served. exact is the
// tree as the source has it.
func (r *run) keepNoise(ctx context.Context, exact *tree.Tree) error {
	if !r.req.Options.KeepNoise {
		return nil
	}
	served, why := r.servedBefore()
	if served == nil {
		r.keepsNothing(ctx, why)
		return nil
	}
	seal, err := noise.Seal(exact, sealLabels(r.src), func(p string) (io.ReadCloser, error) { return r.openFile(ctx, p) })
	if err != nil {
		return fmt.Errorf("looking for what seals the image: %w", err)
	}
	if seal != "" {
		r.keepsNothing(ctx, "it is sealed by "+seal)
		return nil
	}
	old, err := tree.NewBudget(r.cfg.Limits).Flatten(ctx, indexesOf(served))
	if err == nil && r.form() == FormOSTree {
		image := ostree.Image{Tree: old, Contents: r.contents.within(ctx)}
		old, err = ostree.Plain(image, tree.NewBudget(r.cfg.Limits))
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.keepsNothing(ctx, fmt.Sprintf("the image before cannot be put together: %v", err))
		return nil
	}
	files := noise.Files(old, exact, r.req.Options.ExactTime)
	if files, err = unvouched(ctx, exact, files, r.contents.within(ctx), r.cfg.WorkDir); err != nil {
		return err
	}
	var kept []noise.File
	kept, r.kept, err = judgeFiles(ctx, old, exact, files, r.noiseContents)
	if err != nil || len(kept) == 0 {
		return err
	}
	r.exactSum = sumWithout(exact, nil)
	r.putOld(exact, old, kept)
	return nil
}

// keepsNothing notes why an image keeps no noise.
func (r *run) keepsNothing(ctx context.Context, why string) {
	r.cfg.Logger.InfoContext(ctx, "noise is served", "lineage", r.req.Lineage, "source", r.req.Digest, "reason", why)
}

// servedBefore is the image that clients of this one have, if all its layers are at hand; else why there is none.
func (r *run) servedBefore() (img *plan.Image, why string) {
	v := before(r.lineage.Versions, r.req.Reference)
	if v == nil {
		return nil, "nothing was served before"
	}
	for i := range r.images {
		if img := &r.images[i]; img.Digest == v.Digest && len(img.Layers) == len(v.Layers) {
			return img, ""
		}
	}
	return nil, "the image before is not complete, or in another format"
}

func indexesOf(img *plan.Image) []*tree.Index {
	out := make([]*tree.Index, len(img.Layers))
	for i, l := range img.Layers {
		out[i] = l.Index
	}
	return out
}

// noiseContents opens the two contents of a file; nil where one of them can't be had.
func (r *run) noiseContents(ctx context.Context, old, now tree.Digest) (a, b noise.Content, err error) {
	err = r.contents.need(ctx, []tree.Digest{old, now})
	switch {
	case errors.Is(err, tree.ErrNoContent) && ctx.Err() == nil:
		r.cfg.Logger.WarnContext(ctx, "a file that was served before is lost and not compared", "content", old, "error", err)
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	if a, err = atRandom(r.contents.within(ctx), old); err == nil {
		b, err = atRandom(r.contents.within(ctx), now)
	}
	return a, b, err
}

// putOld gives the run's tree the contents that were served before, and their times unless times are exact.
func (r *run) putOld(exact, old *tree.Tree, files []noise.File) {
	if r.tree == exact {
		r.tree = exact.Clone()
	}
	for _, f := range files {
		for _, i := range f.Names {
			e := &r.tree.Entries[i]
			e.Digest, e.Size = f.Old.Digest, f.Old.Size
			if !r.req.Options.ExactTime {
				e.Sec, e.Nsec = f.Old.Sec, f.Old.Nsec
			}
			if source, ok := noise.CompiledFrom(e.Path); ok {
				r.keepTimeOf(source, old)
			}
		}
	}
}

// keepTimeOf gives a file the time that it was served with before.
func (r *run) keepTimeOf(p string, old *tree.Tree) {
	if e, was := r.tree.Lookup(p), old.Lookup(p); e != nil && was != nil {
		e.Sec, e.Nsec = was.Sec, was.Nsec
	}
}

// checkKept holds the tree that is served to the source's with exactly the kept files replaced.
func (r *run) checkKept() error {
	if len(r.kept) == 0 {
		return nil
	}
	kept := map[string]KeptFile{}
	for _, k := range r.kept {
		if _, twice := kept[k.Path]; twice || k.Served == k.Source {
			return fmt.Errorf("%w: %s was kept twice, or unchanged", ErrNotSame, k.Path)
		}
		kept[k.Path] = k
	}
	if sumWithout(r.tree, kept) != r.exactSum {
		return fmt.Errorf("%w: more than the files that were kept is another", ErrNotSame)
	}
	return nil
}

// sumWithout is a digest of a tree, but for times and links, with kept files as the source has them. A file that is not as
// it was kept counts as it is.
func sumWithout(t *tree.Tree, kept map[string]KeptFile) (out [sha256.Size]byte) {
	sum := sha256.New()
	var b []byte
	text := func(s string) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	for i := range t.Entries {
		e := &t.Entries[i]
		content, size := e.Digest.String(), e.Size
		if k, ok := kept[e.Path]; ok && k.Served.Encoded() == content && k.ServedSize == size {
			content, size = k.Source.Encoded(), k.SourceSize
		}
		b = b[:0]
		for _, s := range []string{e.Path, e.Target, content} {
			text(s)
		}
		mode := e.Mode
		if e.Kind == tree.Symlink {
			mode = 0 // nobody looks at it
		}
		for _, n := range []int64{
			int64(e.Kind), int64(mode), int64(e.UID), int64(e.GID), e.Major, e.Minor, size, int64(len(e.Xattrs)),
		} {
			number(n)
		}
		for _, x := range e.Xattrs {
			text(x.Name)
			text(x.Value)
		}
		sum.Write(b)
	}
	sum.Sum(out[:0])
	return out
}

func ociDigest(d tree.Digest) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, d.String())
}
