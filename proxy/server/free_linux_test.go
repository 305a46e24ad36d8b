package server

import (
	"math"
	"sync/atomic"
	"testing"

	"github.com/strata-oci/strata/proxy/upkeep"
)

// There is room down to the floor, which a small filesystem has lower; the quota counts, too.
func TestFreeFloor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	free, all, err := diskSpace(dir)
	if err != nil || free <= 0 || all < free {
		t.Fatal(free, all, err)
	}
	var floor atomic.Int64
	room := func(quota, least int64) int64 {
		floor.Store(least)
		return (&freeFloor{Space: upkeep.NewUsage(quota), dir: dir, floor: floor.Load}).Room()
	}
	if got := room(0, 0); got != math.MaxInt64 {
		t.Errorf("without a floor: %d", got)
	}
	if got := room(1000, 1); got != 1000 {
		t.Errorf("within a quota: %d", got)
	}
	const slack = 1 << 30 // others use the disk, too
	if got, want := room(0, math.MaxInt64), free-all/20; got < want-slack || got > want+slack {
		t.Errorf("with a floor above everything: %d, want about %d", got, want)
	}
	f := &freeFloor{Space: upkeep.NewUsage(0), dir: dir, floor: func() int64 { return 1 }}
	before := f.Room()
	f.Grew(1 << 20)
	if got := f.Room(); got > before-1<<20+slack {
		t.Errorf("room for %d, then for %d", before, got)
	}
}
