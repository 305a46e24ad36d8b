package tree

// Common calls fn for every path that is in both of two lists of entries in ascending order, with its position in a. What is
// out of order in b is passed over.
func Common(a, b []Entry, fn func(a, b *Entry, i int)) {
	i := 0
	for j := range b {
		order := 1
		for ; i < len(a); i++ {
			if order = ComparePaths(a[i].Path, b[j].Path); order >= 0 {
				break
			}
		}
		if order == 0 {
			fn(&a[i], &b[j], i)
		}
	}
}
