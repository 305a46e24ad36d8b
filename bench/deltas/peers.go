package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/strata-oci/strata/bench/process"
)

// peer is a program that makes the new layers of the old image.
type peer struct {
	name    string
	program string // that has to be installed; empty: always there
	run     func(ctx context.Context, b *bench) (size, peak int64, err error)
}

// peers lists the programs, Strata first.
func peers() []peer {
	return []peer{
		{"strata delta", "", strata("strata")},
		{"strata delta, tar-diff 1", "", strata("tar-diff-1")},
		{"strata delta, tar-diff 2", "", strata("tar-diff-2")},
		{"tar-diff", "tar-diff", tarDiff},
		{"zstd --patch-from -19", "zstd",
			file("zstd", "-q", "-19", "--long=31", "-T2", "--patch-from={old}", "{new}", "-o", "{out}")},
		{"xdelta3 -9 -S lzma", "xdelta3",
			file("xdelta3", "-e", "-9", "-S", "lzma", "-B", "2147483648", "-s", "{old}", "{new}", "{out}")},
		{"bsdiff, from files of the same paths", "bsdiff", bsdiff},
		{"casync, 64 KiB", "casync", casync("65536")},
		{"casync, 16 KiB", "casync", casync("16384")},
		{"zstd:chunked", "skopeo", zstdChunked},
	}
}

// strata has the program make one file for the whole update.
func strata(format string) func(context.Context, *bench) (int64, int64, error) {
	return func(ctx context.Context, b *bench) (int64, int64, error) {
		out := filepath.Join(b.work, "delta")
		defer os.Remove(out)
		return measure(ctx, out, b.strata, "delta", "--format", format, "oci:"+b.old, "oci:"+b.new, out)
	}
}

// measure runs a program that writes its delta to out, and returns how long that is and the program's peak of memory.
func measure(ctx context.Context, out, program string, args ...string) (size, peak int64, err error) {
	u, _, err := process.Measure(ctx, program, args...)
	if err != nil {
		return 0, 0, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), u.RSS, nil
}

// file runs a program that writes its delta to a file.
func file(program string, args ...string) func(context.Context, *bench) (int64, int64, error) {
	return func(ctx context.Context, b *bench) (int64, int64, error) {
		out := filepath.Join(b.work, "delta")
		defer os.Remove(out)
		names := strings.NewReplacer("{old}", b.oldTar, "{new}", b.newTar, "{out}", out)
		filled := make([]string, len(args))
		for i, a := range args {
			filled[i] = names.Replace(a)
		}
		return measure(ctx, out, program, filled...)
	}
}

// tarDiff runs tar-diff for each new layer. It takes one old archive and reads it to its end mark: the old layers are made
// one.
func tarDiff(ctx context.Context, b *bench) (size, peak int64, err error) {
	merged, out := filepath.Join(b.work, "merged.tar"), filepath.Join(b.work, "delta")
	defer os.Remove(merged)
	defer os.Remove(out)
	if err := merge(merged, b.oldLayers); err != nil {
		return 0, 0, err
	}
	for _, layer := range b.newLayers {
		n, rss, err := measure(ctx, out, "tar-diff", merged, layer, out)
		if err != nil {
			return 0, 0, err
		}
		size, peak = size+n, max(peak, rss)
	}
	return size, peak, nil
}

// merge makes one archive of several.
func merge(name string, archives []string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	for _, a := range archives {
		if err := add(w, a); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return w.Close()
}

// add adds an archive's members.
func add(w *tar.Writer, archive string) (err error) {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

// casync cuts both sides into chunks of an average size; what a client that has the old ones fetches are the index and the
// chunks that are new.
func casync(average string) func(context.Context, *bench) (int64, int64, error) {
	return func(ctx context.Context, b *bench) (int64, int64, error) {
		store := filepath.Join(b.work, "store")
		defer os.RemoveAll(store)
		index := filepath.Join(b.work, "new.caibx")
		var before int64
		var u process.Usage
		for _, tar := range []string{b.oldTar, b.newTar} {
			var err error
			if before, err = below(store); err != nil {
				return 0, 0, err
			}
			if u, _, err = process.Measure(ctx, "casync", "make", "--store="+store, "--chunk-size="+average, index,
				tar); err != nil {
				return 0, 0, err
			}
		}
		after, err := below(store)
		if err != nil {
			return 0, 0, err
		}
		info, err := os.Stat(index)
		if err != nil {
			return 0, 0, err
		}
		return after - before + info.Size(), u.RSS, nil
	}
}

// below adds up the files below a directory, in bytes; one that is not there has none.
func below(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return total, err
}
