package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/proxy/edge/encoder"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// seed is the old image's files, by path, in an archive of all its layers.
type seed struct {
	tar   *os.File
	files map[string]placed
}

// placed is a file and where its content is.
type placed struct {
	delta.File
	at int64
}

// Open implements delta.Contents.
func (s *seed) Open(_ context.Context, f delta.File) (delta.Content, error) {
	return content{io.NewSectionReader(s.tar, s.files[f.Path].at, f.Size)}, nil
}

type content struct{ *io.SectionReader }

// Close implements io.Closer.
func (content) Close() error { return nil }

// readSeed merges layers.
func readSeed(layers []string, all string) (*seed, error) {
	f, err := os.Open(all)
	if err != nil {
		return nil, err
	}
	s := &seed{tar: f, files: map[string]placed{}}
	var start int64
	for n, name := range layers {
		entries, places, size, err := index(name)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		for i, e := range entries {
			base, dir := path.Base(e.Path), path.Dir(e.Path)
			if removed, ok := strings.CutPrefix(base, ".wh."); ok {
				s.remove(path.Join(dir, removed))
			} else if e.Size > 0 {
				s.files[e.Path] = placed{delta.File{Path: e.Path, Size: e.Size, Digest: e.Digest, Layer: n}, start +
					places[i]}
			}
		}
		start += size
	}
	return s, nil
}

func (s *seed) remove(gone string) {
	for p := range s.files {
		if p == gone || strings.HasPrefix(p, gone+"/") {
			delete(s.files, p)
		}
	}
}

// list gives the files in the order of their paths.
func (s *seed) list() []delta.File {
	var all []delta.File
	for _, f := range s.files {
		all = append(all, f.File)
	}
	slices.SortFunc(all, func(a, b delta.File) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// index lists the regular files of an archive, where their contents are, and how long it is.
func index(name string) (entries []tree.Entry, places []int64, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, 0, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, 0, err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return nil, nil, 0, err
		}
		places = append(places, at)
		entries = append(entries, tree.Entry{Path: path.Clean(h.Name), Kind: tree.Regular, Size: h.Size,
			Digest: tree.Digest(sum.Sum(nil))})
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, 0, err
	}
	return entries, places, info.Size(), nil
}

// speed makes and applies the deltas of the new layers in this process, on one core, and tells how fast that is: by
// processor time, since others may be at work on the machine.
func (b *bench) speed(ctx context.Context, wrapping bool) error {
	runtime.GOMAXPROCS(1)
	old, err := readSeed(b.oldLayers, b.oldTar)
	if err != nil {
		return err
	}
	defer old.tar.Close()
	var encoders delta.Encoders
	if wrapping {
		encoders = encoder.New(ctx, encoder.Options{Parallel: 1})
	}
	fmt.Fprintln(b.out, "| tar bytes | delta | made, MB/s | applied, MB/s | layer's first byte, ms | delta read by then |")
	fmt.Fprintln(b.out, "| --- | --- | --- | --- | --- | --- |")
	var sum timing
	for _, name := range b.newLayers {
		t, err := b.time(ctx, name, old, encoders)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if t.tar > 8<<20 {
			t.row(b.out, fmt.Sprint(t.tar))
		}
		sum = timing{sum.tar + t.tar, sum.delta + t.delta, sum.made + t.made, sum.applied + t.applied,
			max(sum.first, t.first), max(sum.wait, t.wait)}
	}
	sum.row(b.out, fmt.Sprintf("all, %d", sum.tar))
	fmt.Fprintf(b.out, "\npeak of this process: %d MiB\n", process.Peak()>>20)
	return nil
}

// timing is what one layer took.
type timing struct {
	tar, delta    int64
	made, applied time.Duration
	first         int64         // bytes of the delta that were read when the first byte came
	wait          time.Duration // until then
}

func (t timing) row(w io.Writer, name string) {
	rate := func(d time.Duration) float64 { return float64(t.tar) / 1e6 / d.Seconds() }
	fmt.Fprintf(w, "| %s | %d | %.1f | %.1f | %.1f | %d |\n", name, t.delta, rate(t.made), rate(t.applied),
		t.wait.Seconds()*1e3, t.first)
}

// time makes and applies the delta of one layer.
func (b *bench) time(ctx context.Context, name string, old *seed, encoders delta.Encoders) (t timing, err error) {
	entries, _, size, err := index(name)
	if err != nil {
		return t, err
	}
	in, err := os.Open(name)
	if err != nil {
		return t, err
	}
	defer in.Close()
	id, err := digest.FromReader(in)
	if err != nil {
		return t, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	temp := scratch.New(b.work, nil)
	out, err := os.Create(filepath.Join(b.work, "delta"))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	began := used()
	r, err := delta.Make(ctx, out, delta.Target{Tar: in, TarSize: size, Entries: entries, DiffID: id},
		delta.Seed{Files: old.list()}, delta.Options{Contents: old, Scratch: temp, Encoders: encoders})
	if err != nil {
		return t, err
	}
	t.tar, t.delta, t.made = size, r.Size, used()-began
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	apply := func(ctx context.Context, r io.Reader, w io.Writer) error {
		d, err := delta.Open(r, delta.Limits{})
		if err != nil {
			return err
		}
		return d.Apply(ctx, w, delta.ApplyOptions{Contents: old, Scratch: temp, Encoders: encoders})
	}
	began = used()
	if err := apply(ctx, out, io.Discard); err != nil {
		return t, err
	}
	t.applied = used() - began
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	return t, t.begin(ctx, out, apply)
}

// begin applies a delta and compresses the layer until there is a first byte of that.
func (t *timing) begin(ctx context.Context, delta io.Reader, apply func(context.Context, io.Reader, io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &counted{r: delta}
	tar, stream := io.Pipe()
	began := time.Now()
	go func() { stream.CloseWithError(apply(ctx, c, stream)) }()
	_, err := layer.Compress(ctx, &firstByte{func() {
		t.first, t.wait = c.n.Load(), time.Since(began)
		cancel()
	}}, tar, layer.Zstd)
	tar.CloseWithError(context.Canceled)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// firstByte says when something is written first.
type firstByte struct{ came func() }

// Write implements io.Writer.
func (f *firstByte) Write(p []byte) (int, error) {
	if f.came != nil && len(p) > 0 {
		f.came()
		f.came = nil
	}
	return len(p), nil
}

// used is the processor time that this process and its encoders took.
func used() time.Duration {
	var all time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return all
}
