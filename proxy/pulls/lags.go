package pulls

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Image is a served image with the layers that it has.
type Image struct {
	Manifest digest.Digest
	Layers   []digest.Digest
}

// MaxLag is the largest lag that is told from a fresh install.
const MaxLag = 8

// Lags say how old the images were that clients had when they pulled.
type Lags struct {
	// Fresh are clients that had none of the layers: first installs, and those that were too far behind to tell.
	Fresh float64
	// Behind are the clients that were so many versions behind; Behind[0] counts those of the version just before.
	Behind [MaxLag]float64
}

// Pulls are all clients that were counted.
func (l Lags) Pulls() float64 {
	n := l.Fresh
	for _, b := range l.Behind {
		n += b
	}
	return n
}

// Plus adds up lags.
func (l Lags) Plus(o Lags) Lags {
	l.Fresh += o.Fresh
	for i, n := range o.Behind {
		l.Behind[i] += n
	}
	return l
}

// Observe tells the lags of the clients that pulled the newest image of a chain, whose images are versions of each other,
// newest first.
//
// A layer that the a-1 images before the newest have, too, and the one before these has not, was lacked by clients that are
// a or more versions behind. So the counts by a fall, and their differences are the lags. Where no layer tells some lags
// apart, each gets two thirds of the clients that are left, least lag first, and the last one the rest. Of layers that
// should have equal counts the median counts: clients break off and try again.
func Observe(chain []Image, c Counts) Lags {
	var out Lags
	if len(chain) == 0 || len(c.Layers) == 0 {
		return out
	}
	older := chain[1:min(len(chain), MaxLag+1)]
	fresh := len(older) + 1 // stands for all that are further behind than the oldest
	classes := byLag(chain[0], older, c)
	further, next := 0.0, fresh+1 // the clients of the class that was seen last, and its lag
	for a := fresh; a >= 1; a-- {
		if len(classes[a]) == 0 {
			continue
		}
		n := max(further, median(classes[a]))
		rest := n - further
		for k := a; k < next; k++ {
			share := rest * 2 / 3
			if k == next-1 {
				share = rest
			}
			rest -= share
			if k == fresh {
				out.Fresh += share
			} else {
				out.Behind[k-1] += share
			}
		}
		further, next = n, a
	}
	return out
}

// byLag sorts the counts of an image's layers by the least lag of the clients that lack them; one more than there are older
// images for layers that all of these have.
func byLag(newest Image, older []Image, c Counts) [MaxLag + 2][]int64 {
	var classes [MaxLag + 2][]int64
	holds := make([]map[digest.Digest]bool, len(older))
	for i, img := range older {
		holds[i] = make(map[digest.Digest]bool, len(img.Layers))
		for _, l := range img.Layers {
			holds[i][l] = true
		}
	}
	for _, l := range slices.Compact(slices.Sorted(slices.Values(newest.Layers))) {
		a := slices.IndexFunc(holds, func(h map[digest.Digest]bool) bool { return !h[l] })
		if a < 0 {
			a = len(older)
		}
		classes[a+1] = append(classes[a+1], c.Layers[l])
	}
	return classes
}

// median returns the middle of some numbers, which it sorts; the mean of the two middle ones where there are two.
func median(n []int64) float64 {
	slices.Sort(n)
	return float64(n[(len(n)-1)/2]+n[len(n)/2]) / 2
}
