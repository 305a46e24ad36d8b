package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// sized is a layer as clients see it: they have it or they fetch it.
type sized struct {
	key string
	// own is its compressed size as the program makes it, ours with Strata's encoder.
	own, ours int64
}

// image is what a contender makes of a version.
type image []sized

// fetch is what a client that has old fetches for next.
func fetch(old, next image) (own, ours int64) {
	have := map[string]bool{}
	for _, l := range old {
		have[l.key] = true
	}
	for _, l := range next {
		if !have[l.key] {
			own += l.own
			ours += l.ours
		}
		have[l.key] = true
	}
	return own, ours
}

// bytes is the size of all layers.
func (m image) bytes() (own, ours int64) { return fetch(nil, m) }

// peerGzip is gzip's default level, which build-chunked-oci, rechunk and chunkah use.
const peerGzip = 6

// scales weigh layers, each once: what has equal entries and contents has one size. Safe for concurrent use.
type scales struct {
	mu    sync.Mutex
	known map[string]sized
}

func newScales() *scales { return &scales{known: map[string]sized{}} }

// image weighs a packing of a version. objects says which entries are names of one object.
func (s *scales) image(ctx context.Context, v *version, packing [][]int, objects []int, own bool) (image, error) {
	out := make(image, len(packing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, entries := range packing {
		g.Go(func() (err error) {
			out[i], err = s.layer(ctx, v, entries, objects, own)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(l sized) bool { return l.key == "" }), nil
}

// layer weighs one layer; the zero value stands for one without entries.
func (s *scales) layer(ctx context.Context, v *version, entries, objects []int, own bool) (sized, error) {
	if len(entries) == 0 {
		return sized{}, nil
	}
	t := subtree(v.tree(), entries, objects)
	key := identity(t)
	s.mu.Lock()
	l, ok := s.known[key]
	s.mu.Unlock()
	if ok && (!own || l.own > 0) {
		return l, nil
	}
	l, err := measure(ctx, t, v.in.Contents(ctx), own)
	if err != nil {
		return sized{}, fmt.Errorf("%s: %w", v.tag, err)
	}
	l.key = key
	s.mu.Lock()
	s.known[key] = l
	s.mu.Unlock()
	return l, nil
}

// subtree holds the entries and the directories above them. Entries of one object become one hardlink group.
func subtree(t *tree.Tree, entries, objects []int) *tree.Tree {
	in := map[int]bool{}
	for _, i := range entries {
		for ; !in[i]; i, _ = t.Find(tree.Parent(t.Entries[i].Path)) {
			in[i] = true
		}
	}
	list := make([]int, 0, len(in))
	for i := range in {
		list = append(list, i)
	}
	slices.Sort(list)
	out := &tree.Tree{Entries: make([]tree.Entry, len(list))}
	first, names := map[int]string{}, map[int]int{}
	for _, i := range list {
		names[objects[i]]++
	}
	for n, i := range list {
		e := t.Entries[i]
		e.Link = ""
		if o := objects[i]; e.Kind != tree.Dir && names[o] > 1 {
			if first[o] == "" {
				first[o] = e.Path
			}
			e.Link = first[o]
		}
		out.Entries[n] = e
	}
	return out
}

// identity is a digest of all that a layer of these entries holds. Modification times do not count, in the programs' favour:
// most of them keep those of the source.
func identity(t *tree.Tree) string {
	h := sha256.New()
	for i := range t.Entries {
		e := t.Entries[i]
		e.Sec, e.Nsec = 0, 0
		fmt.Fprintf(h, "%q\n", fmt.Sprint(e))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// measure writes a layer of all entries, once with our encoder, and from there once more as gzip.
func measure(ctx context.Context, t *tree.Tree, contents tree.Contents, own bool) (sized, error) {
	entries := make([]int, len(t.Entries))
	for i := range entries {
		entries[i] = i
	}
	l, err := layer.NewList(t, entries, nil, contents)
	if err != nil {
		return sized{}, err
	}
	if !own {
		blob, err := layer.Write(ctx, io.Discard, l, layer.Zstd)
		return sized{ours: blob.Size}, err
	}
	r, w := io.Pipe()
	var packed int64
	done := make(chan error, 1)
	go func() {
		var err error
		packed, err = gzipped(r)
		_ = r.CloseWithError(err)
		done <- err
	}()
	blob, err := layer.Write(ctx, w, l, layer.Zstd)
	_ = w.CloseWithError(err)
	return sized{own: packed, ours: blob.Size}, errors.Join(err, <-done)
}

// gzipped is what the tar stream in a zstd frame takes as gzip.
func gzipped(r io.Reader) (int64, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	var n counter
	w, err := gzip.NewWriterLevel(&n, peerGzip)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(w, z)
	return int64(n), errors.Join(err, w.Close())
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
