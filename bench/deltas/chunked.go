package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/bench/process"
)

// tocPosition tells where a layer's table of contents is: offset, length, length when decompressed, kind. It is an
// annotation that programs of before 2024 name "io.containers…", others "io.github.containers…".
const tocPosition = "containers.zstd-chunked.manifest-position"

// toc is what is read of a layer's table of contents.
type toc struct {
	Entries []struct {
		Type        string `json:"type"`
		Digest      string `json:"digest"`
		Offset      int64  `json:"offset"`
		EndOffset   int64  `json:"endOffset"`
		ChunkDigest string `json:"chunkDigest"`
	} `json:"entries"`

	bytes int64 // compressed, with the tar headers that go with it
}

// zstdChunked has skopeo make both images anew as zstd:chunked, unless that is what they are; what a client that has the old
// one fetches are the new layers' tables of contents and the files, or parts of files, that the old image does not have.
func zstdChunked(ctx context.Context, b *bench) (size, peak int64, err error) {
	has := map[string]bool{}
	if old, err := tocs(b.old); err == nil {
		if next, err := tocs(b.new); err == nil {
			fetchAll(old, has)
			return fetchAll(next, has), 0, nil
		}
	}
	for _, ref := range []string{b.old, b.new} {
		// It leaves layers that are compressed in another way as they are.
		plain, dir := filepath.Join(b.work, "plain"), filepath.Join(b.work, "chunked")
		if _, _, err := process.Measure(ctx, "skopeo", "copy", "-q", "--dest-decompress", "oci:"+ref,
			"dir:"+plain); err != nil {
			return 0, 0, err
		}
		u, _, err := process.Measure(ctx, "skopeo", "copy", "-q", "--dest-compress-format", "zstd:chunked", "dir:"+plain,
			"oci:"+dir+":it")
		if err != nil {
			return 0, 0, err
		}
		peak = max(peak, u.RSS)
		tables, err := tocs(dir + ":it")
		if err = errors.Join(err, os.RemoveAll(plain), os.RemoveAll(dir)); err != nil {
			return 0, 0, err
		}
		size = fetchAll(tables, has)
	}
	return size, peak, nil
}

// fetchAll adds up what is fetched of an image.
func fetchAll(tables []toc, has map[string]bool) (size int64) {
	for _, t := range tables {
		size += t.fetch(has)
	}
	return size
}

// fetch adds up what a client without the parts that it has fetches of a layer, and notes that it has them now. A layer of
// which it has everything counts nothing: it is the old image's.
func (t toc) fetch(has map[string]bool) int64 {
	var missing int64
	for _, e := range t.Entries {
		if e.EndOffset <= e.Offset || e.Type != "reg" && e.Type != "chunk" {
			continue
		}
		key := e.ChunkDigest
		if key == "" {
			key = e.Digest
		}
		if !has[key] {
			missing += e.EndOffset - e.Offset
		}
		has[key] = true
	}
	if missing == 0 {
		return 0
	}
	return missing + t.bytes
}

// tocs reads the tables of contents of an image's layers.
func tocs(ref string) ([]toc, error) {
	img, err := open(ref)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	var all []toc
	for _, d := range m.Layers {
		t, err := readTOC(img, d)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.Digest, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func readTOC(img v1.Image, d v1.Descriptor) (t toc, err error) {
	var at [2]int64
	fields := strings.Split(cmp.Or(d.Annotations["io.github."+tocPosition], d.Annotations["io."+tocPosition]), ":")
	if len(fields) < len(at) {
		return t, errors.New("it is no zstd:chunked")
	}
	for i := range at {
		if at[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return t, fmt.Errorf("where its table of contents is: %w", err)
		}
	}
	l, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return t, err
	}
	r, err := l.Compressed()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if _, err := io.CopyN(io.Discard, r, at[0]); err != nil {
		return t, err
	}
	z, err := zstd.NewReader(io.LimitReader(r, at[1]))
	if err != nil {
		return t, err
	}
	defer z.Close()
	if err := json.NewDecoder(z).Decode(&t); err != nil {
		return t, fmt.Errorf("its table of contents: %w", err)
	}
	t.bytes = at[1]
	return t, nil
}
