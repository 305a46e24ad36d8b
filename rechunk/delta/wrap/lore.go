package wrap

import (
	"cmp"
	"slices"
	"sync"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Apart is how far an item comes behind those whose outcomes it knows: so many may be worked on at the same time.
const Apart = 32

// hopeless is how many streams of a kind nothing may fit until the rest is not tried.
const hopeless = 12

// lore is what a run has found so far, by items, so that each sees what it would see if they came one after another, but for
// the last Apart. Safe for concurrent use.
type lore struct {
	mu     sync.Mutex
	kinds  map[string]*kinds
	trials map[tree.Digest][]remembered
}

func newLore() *lore {
	return &lore{kinds: map[string]*kinds{}, trials: map[tree.Digest][]remembered{}}
}

// kind is what is known of streams that look the same: same program, same settings as far as a stream tells.
type kind struct {
	fits   []Encoder // the one that fitted last comes first
	failed int       // streams that nothing fitted, since the last that something did
}

// kinds is what is known of one kind: from all items that everybody knows of, and from each of the rest, ascending.
type kinds struct {
	all   kind
	items []itemKind
}

// itemKind is what one item adds. Where something fitted it, only its own failures count.
type itemKind struct {
	item int
	kind
}

// remembered is what came out for some bytes in an item.
type remembered struct {
	item int
	Trial
}

// sees reports whether an item goes by what another has found.
func sees(item, other int) bool { return other == item || other <= item-Apart }

// after is what is known when an item's outcomes are added.
func (k kind) after(i itemKind) kind {
	if len(i.fits) == 0 {
		return kind{k.fits, min(k.failed+i.failed, hopeless)}
	}
	fits := slices.Clone(i.fits)
	for _, e := range k.fits {
		if !slices.ContainsFunc(fits, e.is) {
			fits = append(fits, e)
		}
	}
	return kind{fits[:min(len(fits), 3)], i.failed}
}

// is reports whether two encoders are one.
func (e Encoder) is(f Encoder) bool { return e.String() == f.String() }

// likely is what an item knows of a kind. What fitted is the caller's.
func (l *lore) likely(item int, name string) kind {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[name]
	if k == nil {
		return kind{}
	}
	known := k.all
	for _, i := range k.items {
		if sees(item, i.item) {
			known = known.after(i)
		}
	}
	return kind{slices.Clone(known.fits), known.failed}
}

// fitted tells what fitted a stream of the kind; nothing, if e is of no program.
func (l *lore) fitted(item int, name string, e Encoder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[name]
	if k == nil {
		k = &kinds{}
		l.kinds[name] = k
	}
	for len(k.items) > 0 && k.items[0].item <= item-2*Apart { // nobody is left who should not know of it
		k.all, k.items = k.all.after(k.items[0]), k.items[1:]
	}
	at, ok := slices.BinarySearchFunc(k.items, item, func(i itemKind, item int) int { return cmp.Compare(i.item, item) })
	if !ok {
		k.items = slices.Insert(k.items, at, itemKind{item: item})
	}
	own := &k.items[at]
	if e.Program == "" {
		own.failed = min(own.failed+1, hopeless)
		return
	}
	e.Args = unfill(e.Args)
	own.kind = own.kind.after(itemKind{kind: kind{fits: []Encoder{e}}})
}

// known is what an item may go by of what trials remember: not what came of an item that it does not see.
func (l *lore) known(item int, name tree.Digest, trial Trial, ok bool) (Trial, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.trials[name]
	if len(list) == 0 {
		return trial, ok
	}
	var best *remembered
	for i, r := range list {
		if sees(item, r.item) && (best == nil || r.item == item || best.item != item && r.item < best.item) {
			best = &list[i]
		}
	}
	if best == nil {
		return Trial{}, false
	}
	return best.Trial, true
}

// remember notes what came out for some bytes.
func (l *lore) remember(item int, name tree.Digest, t Trial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trials[name] = append(l.trials[name], remembered{item, t})
}
