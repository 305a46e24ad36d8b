package rechunk

import "slices"

// foremost picks at most n of the versions of a lineage and leaves them in their order, newest first: the newest of the
// reference own, then the newest of every other reference, then whatever is newest. So a variant of a family that moves
// rarely is not pushed out by one that moves every day.
func foremost(versions []Version, own string, n int) []Version {
	if len(versions) <= n {
		return versions
	}
	rank := make([]int, len(versions)) // 0 is picked first
	seen := map[string]bool{}
	for i := range versions {
		ref := versions[i].Reference
		switch {
		case seen[ref]:
			rank[i] = 2
		case ref != own:
			rank[i] = 1
		}
		seen[ref] = true
	}
	order := positions(len(versions))
	slices.SortStableFunc(order, func(a, b int) int { return rank[a] - rank[b] })
	picked := order[:n]
	slices.Sort(picked)
	out := make([]Version, n)
	for i, k := range picked {
		out[i] = versions[k]
	}
	return out
}

// before returns the version that clients of the reference have: its newest, or else the newest of the lineage; nil when
// there is none.
func before(versions []Version, own string) *Version {
	if len(versions) == 0 {
		return nil
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Reference == own })
	return &versions[max(i, 0)]
}
