package rpmdb

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// BenchmarkDecodePackage decodes the headers of a real database.
func BenchmarkDecodePackage(b *testing.B) {
	for _, file := range realDatabases(b) {
		if filepath.Base(filepath.Dir(file)) != "fedora35" {
			continue
		}
		var blobs [][]byte
		size := 0
		err := readFile(b, file, func(blob []byte) error {
			blobs = append(blobs, bytes.Clone(blob))
			size += len(blob)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			for _, blob := range blobs {
				_, files, err := decodePackage(blob)
				if err == nil && files != nil {
					err = files.each(func(*installed.File) error { return nil })
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
