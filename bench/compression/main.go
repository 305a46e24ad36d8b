// Command compression measures orders, levels and windows on the layers of an image: compressed bytes and CPU seconds.
//
//	strata rechunk SRC oci:OUT:x
//	go run ./bench/compression oci:OUT:x
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func main() {
	only := flag.String("only", "", "measure only settings whose name contains this")
	from := flag.Int("from", 0, "show layers of at least so many MiB one by one, too; 0 shows none")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "compression: give one image, oci:DIR[:TAG]")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, flag.Arg(0), *only, *from<<20); err != nil {
		fmt.Fprintln(os.Stderr, "compression:", err)
		os.Exit(1)
	}
}

// setting is a way to compress a layer.
type setting struct {
	name  string
	order order
	open  func(w io.Writer) (io.WriteCloser, error)
}

func settings() []setting {
	var out []setting
	for _, o := range orders {
		out = append(out, zstdAt(zstd.SpeedBetterCompression, 8, o), gzipAt(7, o))
	}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBestCompression} {
		out = append(out, zstdAt(level, 8, byPath))
	}
	for _, window := range []int{1, 2, 4, 16, 32, 64, 128} {
		out = append(out, zstdAt(zstd.SpeedBetterCompression, window, byPath))
	}
	for _, window := range []int{2, 4} {
		out = append(out, zstdAt(zstd.SpeedDefault, window, byPath))
	}
	return append(out, gzipAt(6, byPath), gzipAt(9, byPath))
}

func zstdAt(level zstd.EncoderLevel, window int, o order) setting {
	return setting{fmt.Sprintf("zstd %s, %d MiB window, %s", level, window, o.name), o,
		func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithWindowSize(window<<20),
				zstd.WithEncoderConcurrency(1))
		}}
}

func gzipAt(level int, o order) setting {
	return setting{fmt.Sprintf("gzip %d, %s", level, o.name), o, func(w io.Writer) (io.WriteCloser, error) {
		return gzip.NewWriterLevel(w, level)
	}}
}

// run compresses every layer at every setting and prints the sums, and layers from a size on.
func run(ctx context.Context, w io.Writer, ref, only string, from int) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "setting\tbytes\tCPU seconds")
	for _, s := range settings() {
		if !strings.Contains(s.name, only) {
			continue
		}
		var bytes int64
		var spent time.Duration
		number := 0
		err := eachLayer(ctx, ref, func(files []file) error {
			number++
			s.order.sort(files)
			n, took, err := s.measure(files)
			bytes, spent = bytes+n, spent+took
			if size := plain(files); from > 0 && size >= from {
				fmt.Fprintf(table, "  layer %d, %.1f MB: %s\t%d\t%.1f\n", number, float64(size)/1e6, s.name, n,
					took.Seconds())
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%d\t%.1f\n", s.name, bytes, spent.Seconds())
	}
	return table.Flush()
}

// plain is the size of a layer before compression.
func plain(files []file) int {
	sum := 0
	for _, f := range files {
		sum += len(f.raw)
	}
	return sum
}

// measure compresses a layer.
func (s *setting) measure(files []file) (bytes int64, took time.Duration, err error) {
	var out counter
	started := cpu()
	z, err := s.open(&out)
	if err != nil {
		return 0, 0, err
	}
	for _, f := range files {
		if _, err := z.Write(f.raw); err != nil {
			return 0, 0, err
		}
	}
	if err := z.Close(); err != nil {
		return 0, 0, err
	}
	return int64(out), cpu() - started, nil
}

// counter counts what is written.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
