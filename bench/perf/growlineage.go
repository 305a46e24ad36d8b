package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// growLineage serves version after version of an image of which each changes one package.
func (b *bench) growLineage(ctx context.Context) error {
	last := 20
	if b.full {
		last = 500
	}
	if err := b.clear("state", "out"); err != nil {
		return err
	}
	shown := map[int]bool{2: true, 10: true, 20: true, 50: true, 100: true, 200: true, 500: true}
	var points []point
	for v := 1; v <= last; v++ {
		image, tag := ociLayout(b.path("version")), fmt.Sprintf("v%d", v)
		if err := image.synthesize(tag, synthetic{entries: 10_000, bytes: 16 * mib, version: v}); err != nil {
			return err
		}
		u, err := b.rechunked(ctx, image, tag)
		if err != nil {
			return err
		}
		if shown[v] {
			record, err := largestFile(filepath.Join(b.path("state"), "v1", "records", "lineage"))
			if err != nil {
				return err
			}
			also := fmt.Sprintf(", a lineage record of %s KB", digits(float64(record)/1000))
			b.say("growth: version %d took %.2f s, %.0f MiB%s", v, seconds(u.Wall), mebibytes(u.RSS), also)
			points = append(points, point{size: fmt.Sprintf("version %d", v), n: 1, Usage: u, also: also})
		}
		if err := b.clear("version", "out"); err != nil {
			return err
		}
	}
	b.grown("next version of 10,000 files in one layer, one package changed", cpu, points)
	return b.clear("state", "out")
}

// largestFile is the size of the largest file in a directory, in bytes.
func largestFile(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	var most int64
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			return 0, err
		}
		most = max(most, fi.Size())
	}
	return most, err
}
