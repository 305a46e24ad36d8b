package chunkstore_test

import (
	"io"
	"math/rand/v2"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

func benchBytes(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// onDrivers runs a benchmark on each local driver.
func onDrivers(b *testing.B, opts chunkstore.Options, run func(*testing.B, *chunkstore.Store)) {
	for _, c := range []struct {
		name string
		open func() storagedriver.StorageDriver
	}{
		{"filesystem", func() storagedriver.StorageDriver {
			return openDriver(b, "filesystem", map[string]any{"rootdirectory": b.TempDir()})
		}},
		{"inmemory", func() storagedriver.StorageDriver { return openDriver(b, "inmemory", nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := chunkstore.New(c.open(), opts)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			run(b, s)
		})
	}
}

func mustPut(b *testing.B, s *chunkstore.Store, content []byte) digest.Digest {
	b.Helper()
	d, err := s.Put(b.Context(), content)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func BenchmarkPut(b *testing.B) {
	onDrivers(b, chunkstore.Options{CacheBytes: -1}, func(b *testing.B, s *chunkstore.Store) {
		content := benchBytes(16<<10, 1)
		b.SetBytes(int64(len(content)))
		for i := 0; b.Loop(); i++ {
			content[0], content[1], content[2] = byte(i), byte(i>>8), byte(i>>16)
			mustPut(b, s, content)
		}
	})
}

func BenchmarkGetHot(b *testing.B) {
	onDrivers(b, chunkstore.Options{}, func(b *testing.B, s *chunkstore.Store) {
		d := mustPut(b, s, benchBytes(16<<10, 2))
		for b.Loop() {
			if _, err := s.Get(b.Context(), d, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGetCold(b *testing.B) {
	onDrivers(b, chunkstore.Options{CacheBytes: -1}, func(b *testing.B, s *chunkstore.Store) {
		d := mustPut(b, s, benchBytes(16<<10, 2))
		b.SetBytes(16 << 10)
		for b.Loop() {
			if _, err := s.Get(b.Context(), d, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	onDrivers(b, chunkstore.Options{}, func(b *testing.B, s *chunkstore.Store) {
		d := mustPut(b, s, benchBytes(1<<20, 3))
		for b.Loop() {
			c, err := s.Open(b.Context(), d)
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	onDrivers(b, chunkstore.Options{}, func(b *testing.B, s *chunkstore.Store) {
		piece := benchBytes(1<<20, 4)
		b.SetBytes(8 << 20)
		for i := 0; b.Loop(); i++ {
			w, err := s.Create(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			piece[0], piece[1] = byte(i), byte(i>>8)
			for range 8 {
				if _, err := w.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
			desc, err := w.Commit(b.Context(), chunkstore.Expected{Size: chunkstore.AnySize})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Delete(b.Context(), desc.Digest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	onDrivers(b, chunkstore.Options{}, func(b *testing.B, s *chunkstore.Store) {
		d := mustPut(b, s, benchBytes(8<<20, 5))
		b.SetBytes(8 << 20)
		for b.Loop() {
			c, err := s.Open(b.Context(), d)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	onDrivers(b, chunkstore.Options{}, func(b *testing.B, s *chunkstore.Store) {
		const key = "ghcr.io/ublue-os/bluefin:stable"
		value := benchBytes(500, 6)
		for b.Loop() {
			if err := s.PutRecord(b.Context(), "tag", key, value); err != nil {
				b.Fatal(err)
			}
			if _, err := s.GetRecord(b.Context(), "tag", key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
