package tardiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// inMemory is the length of a file that is matched in memory; longer ones are in scratch files.
	inMemory = 64 << 20
	// mostDictionary is the length of a source that is tried as a dictionary. For longer ones the encoder's tables forget
	// what they saw.
	mostDictionary = 32 << 20
)

// patch writes a file as a patch of those old ones that it may have come from, in whichever of the version's ways is
// shorter.
func (m *maker) patch(ctx context.Context, r io.Reader, e *tree.Entry, item *delta.Item) error {
	now, err := m.keep(r, e.Size)
	if err != nil {
		return err
	}
	defer now.Close()
	files, err := m.old.Choose(ctx, m.o.Contents, e.Path, now)
	if err != nil {
		return err
	}
	s := olds{files: files}
	defer s.close()
	for _, f := range files {
		c, err := m.open(ctx, f)
		if err != nil {
			return err
		}
		s.contents = append(s.contents, c)
	}
	item.How = delta.Patch
	if m.o.Version >= V2 && len(files) > 0 && now.Size() <= mostDictionary && files[0].Size <= mostDictionary {
		item.Source = files[0].Path
		done, err := m.patchEither(ctx, now, s)
		if done || err != nil {
			return err
		}
	}
	from, err := m.patchRuns(ctx, m.out, now, s)
	if err != nil {
		return err
	}
	if most := slices.Max(append(from, 0)); most > 0 {
		item.Source = files[slices.Index(from, most)].Path
		return nil
	}
	item.How, item.Source, item.Why = delta.Whole, "", "nothing of an old file is in it"
	return nil
}

// olds are old files that a new one is made of.
type olds struct {
	files    []delta.File
	contents []delta.Content
}

func (s *olds) close() {
	for _, c := range s.contents {
		_ = c.Close() // only read
	}
}

// keep holds a file so that it can be read at random. One that ends early is what is there of it.
func (m *maker) keep(r io.Reader, size int64) (delta.Content, error) {
	if size <= inMemory || m.o.Scratch == nil {
		b := make([]byte, size)
		n, err := io.ReadFull(r, b)
		if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			err = nil
		}
		return inBytes{bytes.NewReader(b[:n])}, err
	}
	f, err := m.o.Scratch.Create()
	if err != nil {
		return nil, fmt.Errorf("making a scratch file: %w", err)
	}
	if _, err := io.Copy(f, r); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// inBytes is a content in memory.
type inBytes struct{ *bytes.Reader }

// Close implements io.Closer.
func (inBytes) Close() error { return nil }

// patchRuns writes a file as runs of old ones, and says how many bytes come from each.
func (m *maker) patchRuns(ctx context.Context, out *writer, now delta.Content, s olds) ([]int64, error) {
	from := make([]int64, len(s.files))
	var old []match.Source
	for _, c := range s.contents {
		old = append(old, c)
	}
	err := match.Match(ctx, old, now, match.Options{Memory: m.o.Memory}, func(op match.Op) error {
		if op.Source < 0 {
			return out.data(op.Data)
		}
		from[op.Source] += int64(op.Length)
		p := s.files[op.Source].Path
		if op.Data == nil {
			return out.copy(p, op.At, int64(op.Length))
		}
		return out.add(p, op.At, op.Data)
	})
	if err != nil {
		return nil, fmt.Errorf("matching it with the old image's files: %w", err)
	}
	return from, nil
}

// patchEither tries a file as runs and as a frame with the first old file as its dictionary, each compressed by itself. If
// the frame is shorter, it is written.
func (m *maker) patchEither(ctx context.Context, now delta.Content, s olds) (bool, error) {
	f, c := s.files[0], s.contents[0]
	if m.trial == nil {
		var err error
		if m.trial, err = newWriter(io.Discard, V1, mostDictionary); err != nil {
			return false, err
		}
	}
	m.trial.reset()
	if _, err := m.patchRuns(ctx, m.trial, now, s); err != nil {
		m.trial.abandon()
		return false, err
	}
	runs, err := m.trial.close()
	if err != nil {
		return false, err
	}
	both := make([]byte, f.Size+now.Size())
	was, is := both[:f.Size], both[f.Size:]
	if _, err := c.ReadAt(was, 0); err != nil && err != io.EOF {
		return false, fmt.Errorf("reading %q of the old image: %w", f.Path, err)
	}
	if _, err := now.ReadAt(is, 0); err != nil && err != io.EOF {
		return false, err
	}
	frame, err := dictionaryFrame(was, is)
	if err != nil || int64(len(frame)) >= runs {
		return false, err
	}
	return true, m.out.dictionary(f.Path, f.Size, frame)
}

// dictionaryFrame is one zstd frame with the old file as its dictionary. The whole of that is within its window.
func dictionaryFrame(was, now []byte) ([]byte, error) {
	window := 1 << max(10, bits.Len64(uint64(max(len(was), len(now), 1)-1)))
	z, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(0, was), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithSingleSegment(true), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("a zstd encoder with a dictionary: %w", err)
	}
	defer z.Close()
	return z.EncodeAll(now, nil), nil
}
