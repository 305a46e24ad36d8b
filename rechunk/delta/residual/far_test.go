package residual

import "testing"

// Old bytes may lie across a place whose low 32 bits are zero.
func TestAcrossFourGiB(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{1<<32 - 63, 1<<32 - 1, 1<<31 - 1} {
		for m := range Machine(4) {
			new(addresses).run(Place{At: at, Made: at, Machine: m}, make([]byte, 62))
		}
	}
}
