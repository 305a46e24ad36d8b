package ostree

import (
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// A commit has labels by some policy in its objects. A plain image has none: clients set them by theirs. What no policy
// labels keeps the label that it has, or it would have none at all once it is committed again.

// labels are those in a commit's objects that stay.
type labels struct {
	Image
	budget   *tree.Budget
	own      map[string]bool              // hardlink groups and paths with a name that has no label by policy
	stripped map[*tree.Xattr][]tree.Xattr // by the first of a list, which many entries share
}

// find finds the entries whose label is the image's own. A file's names have one label: where one of them has none by the
// policy, all keep it.
func (l *labels) find(given func(i int) []tree.Xattr) error {
	l.own = map[string]bool{}
	for i := range l.Tree.Entries {
		e := &l.Tree.Entries[i]
		if l.Labelled == nil || dropped(e.Path) || l.own[object(e)] || !slices.ContainsFunc(given(i), isLabel) {
			continue
		}
		labelled, err := l.Labelled(e.Kind, e.Path)
		if err != nil {
			return err
		}
		if !labelled {
			l.own[object(e)] = true
		}
	}
	return nil
}

// kept are an entry's attributes without a label that is not the image's own.
func (l *labels) kept(e *tree.Entry, x []tree.Xattr) (out []tree.Xattr, err error) {
	if l.own[object(e)] || !slices.ContainsFunc(x, isLabel) {
		return x, nil
	}
	out, ok := l.stripped[&x[0]]
	if !ok {
		if out, err = l.budget.Xattrs(slices.DeleteFunc(slices.Clone(x), isLabel)); err == nil {
			l.stripped[&x[0]] = out
		}
	}
	return out, err
}

// unlabelled reports whether a commit has a directory or an empty file that the policy does not label.
func (i Image) unlabelled() (bool, error) {
	if i.Labelled == nil {
		return false, nil
	}
	for k := range i.Tree.Entries {
		e := &i.Tree.Entries[k]
		if dropped(e.Path) || !InCommit(e.Path) || e.Kind != tree.Dir && !isEmptyFile(e) {
			continue
		}
		if labelled, err := i.Labelled(e.Kind, e.Path); !labelled || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// object names what an entry is a name of.
func object(e *tree.Entry) string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}

func isLabel(x tree.Xattr) bool { return x.Name == labelName }
