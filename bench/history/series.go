package history

import "time"

// Series is a choice of a branch's releases.
type Series struct {
	Name, Branch string
	// From is the earliest date, Count the most releases, Every the least time between two of them.
	From  time.Time
	Count int
	Every time.Duration
	// Pinned series hold the kernel and everything that makes the initramfs as they are in the first release.
	Pinned bool
}

// Releases gives the releases of the series, oldest first.
func (s *Series) Releases(c *Corpus) []Release {
	var out []Release
	var last time.Time
	var first Release
	for _, r := range c.Branches[s.Branch] {
		if r.Date.Before(s.From) || len(out) == s.Count || len(out) > 0 && r.Date.Sub(last) < s.Every {
			continue
		}
		if len(out) == 0 {
			first = r
		}
		if s.Pinned {
			r = pin(r, first)
		}
		last = r.Date
		out = append(out, r)
	}
	return out
}

func pin(r, first Release) Release {
	held := Release{Date: r.Date, Packages: map[string]string{}}
	for p, v := range r.Packages {
		if !IsKernel(p) {
			held.Packages[p] = v
		}
	}
	for p, v := range first.Packages {
		if IsKernel(p) {
			held.Packages[p] = v
		}
	}
	for _, p := range initramfsParts {
		if v, ok := first.Packages[p]; ok {
			held.Packages[p] = v
		}
	}
	return held
}
