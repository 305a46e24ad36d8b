package installed

import (
	"cmp"
	"slices"
)

// Newest returns the distinct positive times in descending order, at most MaxChanges. It may reorder and reuse the slice.
func Newest(times []int64) []int64 {
	slices.SortFunc(times, func(a, b int64) int { return cmp.Compare(b, a) })
	times = slices.Compact(times)
	for len(times) > 0 && times[len(times)-1] <= 0 {
		times = times[:len(times)-1]
	}
	return times[:min(len(times), MaxChanges)]
}
