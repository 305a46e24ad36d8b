package rechunk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// On its composefs backend bootc names a deployment by its filesystem, times included, and refuses an image whose name an
// existing one has ("Target image has the same fs-verity digest"), after it was downloaded. A rebuild in which nothing but
// times changed would be such an image where the times that were served first stay: the upstream's own image is not. So one
// small file gets the time that it has in the source then.

// stamp is a time that an entry has in the source, and not in what is to be served.
type stamp struct {
	path string
	sec  int64
	nsec int32
	rank int   // what is preferred is less
	cost int64 // about what is written again for it, in bytes
}

// maxStamps is how many entries are tried.
const maxStamps = 8

// noteTimes finds entries that could get their time of the source back. exact is the tree as the source has it, from which
// the run's differs in times, and in what noise: keep left as it was. Python's sources are none: what is compiled of them
// quotes their time.
func (r *run) noteTimes(exact *tree.Tree) {
	if !r.plain || r.tree == exact {
		return
	}
	kept := map[string]bool{}
	for _, k := range r.kept {
		kept[k.Path] = true
	}
	for i := range exact.Entries {
		e := &exact.Entries[i]
		if e.SameTime(&r.tree.Entries[i]) || kept[e.Path] || strings.HasSuffix(e.Path, ".py") || unseen(e.Path) {
			continue
		}
		s := stamp{path: e.Path, sec: e.Sec, nsec: e.Nsec, cost: e.Size}
		switch inside, _ := exact.Find(e.Path + "/"); {
		case e.Kind == tree.Dir && inside < len(exact.Entries) && tree.Within(exact.Entries[inside].Path, e.Path):
			s.rank, s.cost = 4, r.holding(e.Path)
		case e.Size >= tree.ShareMin || e.Link != "":
			s.rank = 3
		case !tree.Within(e.Path, "usr"):
			s.rank = 2 // clients merge /etc, and /var is theirs
		case e.Kind != tree.Regular:
			s.rank = 1
		}
		at, _ := slices.BinarySearchFunc(r.stamps, s, func(a, b stamp) int {
			return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cost, b.cost), tree.ComparePaths(a.path, b.path))
		})
		if at < maxStamps {
			r.stamps = slices.Insert(r.stamps, at, s)
			r.stamps = r.stamps[:min(len(r.stamps), maxStamps)]
		}
	}
}

// holding is the size of the newest image's layers that have a directory, which are written again for its sake.
func (r *run) holding(dir string) (n int64) {
	for _, l := range r.images[0].Layers {
		t := tree.Tree{Entries: l.Index.Entries}
		if _, ok := t.Find(dir); ok {
			n += l.Size
		}
	}
	return n
}

// distinguish gives one entry its time of the source when the filesystem was served before, under another digest.
func (r *run) distinguish(ctx context.Context) error {
	if len(r.stamps) == 0 {
		return nil
	}
	served, err := r.servedTrees(ctx)
	if err != nil || !served[sumTree(r.tree)] {
		return err
	}
	for _, s := range r.stamps {
		k, _ := r.tree.Find(s.path)
		had := r.tree.Entries[k]
		names := []int{k}
		for i := range r.tree.Entries {
			if l := r.tree.Entries[i].Link; l != "" && l == had.Link && i != k {
				names = append(names, i)
			}
		}
		set := func(sec int64, nsec int32) {
			for _, i := range names {
				r.tree.Entries[i].Sec, r.tree.Entries[i].Nsec = sec, nsec
			}
		}
		if set(s.sec, s.nsec); served[sumTree(r.tree)] {
			set(had.Sec, had.Nsec)
			continue
		}
		if r.timed == nil {
			r.timed = map[string]bool{}
		}
		for _, i := range names {
			r.timed[r.tree.Entries[i].Path] = true
		}
		r.restamped = s.path
		return nil
	}
	return nil
}

// servedTrees are the sums of the filesystems that were served in the lineage. What was served last has one, too, if it was
// made before these were recorded.
func (r *run) servedTrees(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	for _, v := range r.lineage.Versions {
		out[v.Tree] = true
	}
	delete(out, "")
	if v := before(r.lineage.Versions, r.req.Reference); v == nil || v.Tree != "" {
		return out, nil
	}
	img, _ := r.servedBefore()
	if img == nil {
		return out, nil
	}
	t, err := tree.NewBudget(r.cfg.Limits).Flatten(ctx, indexesOf(img))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, tree.ErrLimit), errors.Is(err, tree.ErrInvalid):
		return out, nil
	case err != nil:
		return nil, fmt.Errorf("putting the image before together: %w", err)
	}
	out[sumTree(t)] = true
	return out, nil
}

// restampNote tells of the entry that distinguish changed; empty when there is none.
func (r *run) restampNote() string {
	if r.restamped == "" {
		return ""
	}
	return fmt.Sprintf("%q has the source's time: only times changed, and composefs would take the image for an earlier one",
		r.restamped)
}

// unseen reports whether composefs does not look at a path, or at its time (composefs-oci and composefs-boot: the root is
// made like /usr, /run, /boot and /sysroot are emptied).
func unseen(path string) bool {
	return path == "." || path == "usr" || slices.ContainsFunc([]string{"run", "boot", "sysroot"}, func(d string) bool {
		return tree.Within(path, d)
	})
}

// treeSum is a digest of what composefs names a filesystem by: everything in it that it looks at, times and hardlinks
// included. Of attributes only security.capability counts in every one of its modes.
type treeSum struct {
	hash hash.Hash
	b    []byte
}

// add takes the next entry, in path order.
func (s *treeSum) add(e *tree.Entry) {
	if s.hash == nil {
		s.hash = sha256.New()
	}
	if unseen(e.Path) && (e.Path == "." || strings.Contains(e.Path, "/")) {
		return
	}
	text := func(t string) { s.b = append(binary.BigEndian.AppendUint32(s.b, uint32(len(t))), t...) }
	s.b = s.b[:0]
	capability, _ := e.Xattr("security.capability")
	for _, t := range []string{e.Path, e.Target, e.Link, capability} {
		text(t)
	}
	s.b = append(s.b, e.Digest[:]...)
	numbers := []int64{int64(e.Kind), int64(e.Mode), int64(e.UID), int64(e.GID), e.Major, e.Minor, e.Size}
	if e.Path == "usr" || !unseen(e.Path) {
		numbers = append(numbers, e.Sec, int64(e.Nsec))
	}
	for _, n := range numbers {
		s.b = binary.BigEndian.AppendUint64(s.b, uint64(n))
	}
	s.hash.Write(s.b)
}

// String is the digest, in hexadecimal.
func (s *treeSum) String() string {
	if s.hash == nil {
		return ""
	}
	return hex.EncodeToString(s.hash.Sum(nil))
}

func sumTree(t *tree.Tree) string {
	var s treeSum
	for i := range t.Entries {
		s.add(&t.Entries[i])
	}
	return s.String()
}
