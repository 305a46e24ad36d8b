package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// files are the contents of a tree, by path. They are Contents, too.
type files map[string][]byte

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (f files) Open(_ context.Context, file File) (Content, error) {
	b, ok := f[file.Path]
	if !ok {
		return nil, fmt.Errorf("%w: no such file", ErrSource)
	}
	return content{bytes.NewReader(b)}, nil
}

// seed lists the files.
func (f files) seed() Seed {
	s := Seed{Manifest: digest.FromString("seed")}
	for _, p := range slices.Sorted(maps.Keys(f)) {
		s.Files = append(s.Files, File{Path: p, Size: int64(len(f[p])), Digest: sha256.Sum256(f[p])})
	}
	return s
}

// target is a layer with the files.
func (f files) target(t testing.TB) (Target, []byte) {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	var target Target
	for _, p := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{Name: p, Mode: 0o644, Size: int64(len(f[p])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f[p]); err != nil {
			t.Fatal(err)
		}
		target.Entries = append(target.Entries,
			tree.Entry{Path: p, Kind: tree.Regular, Size: h.Size, Digest: sha256.Sum256(f[p])})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	target.Tar, target.TarSize = bytes.NewReader(buf.Bytes()), int64(buf.Len())
	target.Blob, target.BlobSize, target.DiffID = digest.FromString("blob"), 1, digest.FromBytes(buf.Bytes())
	return target, buf.Bytes()
}

// temp is Scratch in memory, which counts what is open.
type temp struct{ open atomic.Int64 }

type tempFile struct {
	bytes.Buffer
	t *temp
}

func (t *temp) Create() (ScratchFile, error) {
	t.open.Add(1)
	return &tempFile{t: t}, nil
}

func (f *tempFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.Bytes()).ReadAt(p, off)
}
func (f *tempFile) Size() int64  { return int64(f.Len()) }
func (f *tempFile) Close() error { f.t.open.Add(-1); return nil }

// randomFiles are some files of random sizes and contents.
func randomFiles(r *rand.Rand) files {
	f := files{}
	for range 1 + r.IntN(12) {
		b := make([]byte, r.IntN(1<<r.IntN(19)))
		for i := range b {
			b[i] = byte(r.IntN(1 + r.IntN(256)))
		}
		f[fmt.Sprintf("usr/lib/d%d/file-%d.%d.so", r.IntN(3), r.IntN(20), r.IntN(9))] = b
	}
	return f
}

// mutated are the files after an update.
func mutated(r *rand.Rand, old files) files {
	f := files{}
	for _, p := range slices.Sorted(maps.Keys(old)) {
		b := bytes.Clone(old[p])
		switch r.IntN(6) {
		case 0:
			continue
		case 1:
			p = fmt.Sprintf("usr/lib/moved/%d", r.IntN(1000))
		case 2:
			p = fmt.Sprintf("%s.%d", p[:len(p)-3], r.IntN(100))
		}
		for range r.IntN(20) {
			if len(b) == 0 {
				break
			}
			at := r.IntN(len(b))
			switch r.IntN(3) {
			case 0:
				b[at] ^= byte(1 + r.IntN(255))
			case 1:
				b = slices.Insert(b, at, make([]byte, r.IntN(200))...)
			case 2:
				b = slices.Delete(b, at, min(at+r.IntN(50), len(b)))
			}
		}
		f[p] = b
	}
	for p, b := range randomFiles(r) {
		f["etc/new/"+p] = b
	}
	return f
}

// made makes a delta.
func made(t testing.TB, target Target, seed files, o Options) ([]byte, Report) {
	t.Helper()
	var out bytes.Buffer
	o.Contents = seed
	report, err := Make(t.Context(), &out, target, seed.seed(), o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Size != int64(out.Len()) {
		t.Errorf("a report of %d bytes, and %d were written", report.Size, out.Len())
	}
	return out.Bytes(), report
}

// applied applies a delta.
func applied(ctx context.Context, delta []byte, seed files, o ApplyOptions) ([]byte, error) {
	d, err := Open(bytes.NewReader(delta), Limits{})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	o.Contents = seed
	err = d.Apply(ctx, &out, o)
	return out.Bytes(), err
}

// known reports whether an error is one of those that Open and Apply promise.
func known(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrLimit) || errors.Is(err, ErrSource) || errors.Is(err, ErrEncoder)
}
