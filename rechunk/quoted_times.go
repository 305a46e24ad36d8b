package rechunk

import (
	"context"
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/noise"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Some contents quote the modification time of another file, and lose their use when it is another one: Python takes the
// code that it compiled before only if the header of the .pyc names the time of its source
// (Lib/importlib/_bootstrap_external.py, PEP 3147 and PEP 552). A time that was kept from an earlier image must not make
// such a quotation wrong.

// keepQuotedTimes gives files that are quoted back the time that they have in the source, where the one that was kept is not
// the one quoted. exact is the tree as the source has it; the run's tree differs from it in times alone.
func (r *run) keepQuotedTimes(ctx context.Context, exact *tree.Tree) error {
	quotes := r.changedQuotes(exact)
	var want []tree.Digest
	for _, q := range quotes {
		if e := &exact.Entries[q.by]; !r.contents.has(e.Digest) && !r.wasServed(e) {
			want = append(want, e.Digest) // a new layer will hold it: it is read in any case
		}
	}
	if err := r.contents.need(ctx, want); err != nil && !errors.Is(err, tree.ErrNoContent) {
		return err
	}
	for _, q := range quotes {
		e, of := &exact.Entries[q.by], &exact.Entries[q.of]
		if !r.contents.has(e.Digest) {
			continue // unchanged since it was served, as far as a look without reading layers can tell
		}
		stamp, ok, err := r.quotedTime(ctx, e)
		if err != nil {
			return err
		}
		if now := &r.tree.Entries[q.of]; ok && stamp == uint32(of.Sec) && stamp != uint32(now.Sec) {
			r.restoreTime(exact, q.of)
		}
	}
	return nil
}

// quote says that the content of one entry may quote the time of another, by their positions.
type quote struct{ by, of int }

// changedQuotes lists the compiled files whose source's time is not that of the source image.
func (r *run) changedQuotes(exact *tree.Tree) []quote {
	var out []quote
	for i := range exact.Entries {
		e := &exact.Entries[i]
		if e.Kind != tree.Regular {
			continue
		}
		source, ok := noise.CompiledFrom(e.Path)
		if !ok || r.tree.Entries[i].Digest != e.Digest { // one that was kept, with its source's time
			continue
		}
		if k, ok := exact.Find(source); ok && exact.Entries[k].Kind == tree.Regular &&
			exact.Entries[k].Sec != r.tree.Entries[k].Sec {
			out = append(out, quote{i, k})
		}
	}
	return out
}

// wasServed reports whether an earlier image has an entry just so.
func (r *run) wasServed(e *tree.Entry) bool {
	for _, img := range r.images {
		for _, l := range img.Layers {
			t := tree.Tree{Entries: l.Index.Entries}
			if old := t.Lookup(e.Path); old != nil && old.Same(e) {
				return true
			}
		}
	}
	return false
}

// restoreTime gives an entry, with all other names of it, the time that it has in the source, and has the plan hold to it.
func (r *run) restoreTime(exact *tree.Tree, k int) {
	if r.timed == nil {
		r.timed = map[string]bool{}
	}
	first := exact.Entries[k].Link
	for i := range r.tree.Entries {
		if e := &r.tree.Entries[i]; i == k || first != "" && e.Link == first {
			e.Sec, e.Nsec = exact.Entries[k].Sec, exact.Entries[k].Nsec
			r.timed[e.Path] = true
		}
	}
}

// quotedTime reads the time that a compiled file quotes; ok is false where it quotes none.
func (r *run) quotedTime(ctx context.Context, e *tree.Entry) (stamp uint32, ok bool, err error) {
	rc, err := r.contents.open(ctx, e.Digest)
	if err != nil {
		return 0, false, err
	}
	defer rc.Close()
	var header [16]byte
	n, err := io.ReadFull(rc, header[:])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return 0, false, err
	}
	stamp, _, ok = noise.QuotedTime(header[:n])
	return stamp, ok, nil
}
