package rechunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/noise"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// NoiseKept lists the files of a served image in which it differs from its source in build noise only, in path order: those
// that noise: keep may have left as they were served before. Nothing that the image says of itself is believed; the files
// are compared, by the rules of package noise.
func (i *Inspection) NoiseKept(ctx context.Context, source *Inspection) ([]KeptFile, error) {
	seal, err := noise.Seal(source.Tree, sealLabels(source.Image), func(p string) (io.ReadCloser, error) {
		return source.run.openFile(ctx, p)
	})
	if err != nil || seal != "" {
		return nil, err
	}
	files := noise.Files(i.Tree, source.Tree, false)
	if files, err = unvouched(ctx, source.Tree, files, source.Contents(ctx), source.run.cfg.WorkDir); err != nil {
		return nil, err
	}
	_, told, err := judgeFiles(ctx, i.Tree, source.Tree, files,
		func(ctx context.Context, old, now tree.Digest) (a, b noise.Content, err error) {
			if a, err = atRandom(i.Contents(ctx), old); err == nil {
				b, err = atRandom(source.Contents(ctx), now)
			}
			return a, b, err
		})
	return told, err
}

// judgeFiles judges files of a tree with what was served before. It returns those that differ in noise only, and what is to
// be told of them, name by name. open opens two contents; nil for those that can't be had, which are not judged.
func judgeFiles(ctx context.Context, old, now *tree.Tree, files []noise.File,
	open func(ctx context.Context, old, now tree.Digest) (a, b noise.Content, err error)) (kept []noise.File,
	told []KeptFile, err error) {
	judge, what, quoted := noise.NewJudge(noise.DefaultLimits()), map[tree.Digest]string{}, map[int][2]uint32{}
	for _, f := range files {
		e := &now.Entries[f.Names[0]]
		a, b, err := open(ctx, f.Old.Digest, e.Digest)
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", e.Path, err)
		}
		if a == nil || b == nil {
			continue
		}
		v, err := judge.Compare(ctx, f.Kind, e.Path, a, b)
		if err != nil {
			return nil, nil, fmt.Errorf("comparing %s with what was served before: %w", e.Path, err)
		}
		if !v.Same {
			continue
		}
		kept = append(kept, f)
		what[e.Digest], quoted[f.Names[0]] = v.What, v.Quoted
	}
	for before := -1; before != len(kept); {
		before = len(kept)
		kept = noise.WithSources(old, now, noise.WithCopies(now, kept), quoted)
	}
	for _, f := range kept {
		for _, i := range f.Names {
			n := &now.Entries[i]
			told = append(told, KeptFile{
				Path: n.Path, Served: ociDigest(f.Old.Digest), Source: ociDigest(n.Digest), ServedSize: f.Old.Size,
				SourceSize: n.Size, What: what[n.Digest],
			})
		}
	}
	slices.SortFunc(told, func(a, b KeptFile) int { return tree.ComparePaths(a.Path, b.Path) })
	return kept, told, nil
}

// unvouched leaves out the files that a package ships: its database holds their digests, and would call them altered. Where
// a database can't be read to its end, none is left.
func unvouched(ctx context.Context, t *tree.Tree, files []noise.File, contents tree.Contents, work string) ([]noise.File,
	error) {
	var all []int
	for _, f := range files {
		all = append(all, f.Names...)
	}
	if len(all) == 0 {
		return files, nil
	}
	vouched, err := pkgdb.Vouched(ctx, t, contents, work, all)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, installed.ErrDamaged), errors.Is(err, installed.ErrBudget), errors.Is(err, rootfs.ErrTooLarge):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("finding what packages ship: %w", err)
	}
	return slices.DeleteFunc(files, func(f noise.File) bool {
		return slices.ContainsFunc(f.Names, func(i int) bool { return vouched[i] })
	}), nil
}

// sealLabels are the labels and annotations of an image.
func sealLabels(src *image.Source) map[string]string {
	out := maps.Clone(src.Config.Config.Labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, src.Manifest.Annotations)
	for _, l := range src.Manifest.Layers {
		maps.Copy(out, l.Annotations)
	}
	return out
}

// atRandom opens a content to read it at random, for as long as the contents last: those of a spool can be, the small ones
// of an index are taken into memory.
func atRandom(c tree.Contents, d tree.Digest) (noise.Content, error) {
	rc, err := c.Open(d)
	if err != nil {
		return nil, err
	}
	if spooled, ok := rc.(noise.Content); ok {
		return spooled, nil
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, tree.MaxInline+1))
	if err == nil && len(b) > tree.MaxInline {
		err = fmt.Errorf("content %s cannot be read at random", d)
	}
	return bytes.NewReader(b), err
}
