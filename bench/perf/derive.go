package main

import (
	"archive/tar"
	"errors"
	"hash/fnv"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// derive passes the tar stream of a gzip layer through: each entry goes to the tar stream that route picks by its header,
// and of regular files for which change says so every fourth KiB gets another byte.
func derive(layer string, route func(*tar.Header) (*tar.Writer, error), change func(path string) bool) error {
	f, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	in, buf := tar.NewReader(z), make([]byte, 256<<10)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out, err := route(h)
		if err != nil {
			return err
		}
		if out == nil {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		var content io.Reader = in
		if h.Typeflag == tar.TypeReg && changeable(h.Name) && change(h.Name) {
			content = changed{in}
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, content, buf); err != nil {
			return err
		}
	}
}

// changeable leaves package databases as they are: damaged ones would be another matter.
func changeable(path string) bool {
	path = strings.TrimPrefix(path, "./")
	for _, db := range []string{"var/lib/dpkg/", "var/lib/rpm/", "usr/lib/sysimage/", "usr/share/rpm/", "lib/apk/",
		"var/lib/pacman/"} {
		if strings.HasPrefix(path, db) {
			return false
		}
	}
	return true
}

// changed alters a byte here and there.
type changed struct{ r io.Reader }

func (c changed) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i := 0; i < n; i += 4 << 10 {
		p[i] ^= 0x55
	}
	return n, err
}

// hashOf orders paths as good as at random, the same way every time.
func hashOf(path string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	return h.Sum64()
}

func nothing(string) bool { return false }

// repush writes a layer again as one of the same files, of which some, a share of all bytes, have other contents.
func (l ociLayout) repush(tag, layer string, share float64) error {
	all, err := surveyLayer(layer)
	if err != nil {
		return err
	}
	b, err := l.writeLayer(func(w io.Writer) error {
		out := tar.NewWriter(w)
		if err := derive(layer, func(*tar.Header) (*tar.Writer, error) { return out, nil }, all.chosen(share)); err != nil {
			return err
		}
		return out.Close()
	})
	if err != nil {
		return err
	}
	return l.writeImage(tag, b)
}

// parts is the number of layers that split makes.
const parts = 10

// topOneOf is how many files there are for one in the last layer, the one that changes.
const topOneOf = 200

// split writes the files of one layer as two images of ten layers under the tags old and new. They differ in the files of
// the last layer, a small one.
func (l ociLayout) split(old, new, layer string) error {
	all, err := surveyLayer(layer)
	if err != nil {
		return err
	}
	base, err := l.splitBase(layer, all.bytes)
	if err != nil {
		return err
	}
	for tag, change := range map[string]func(string) bool{old: nothing, new: func(string) bool { return true }} {
		top, err := l.writeLayer(func(w io.Writer) error {
			out, p := tar.NewWriter(w), newPlacer(all.bytes)
			route := func(h *tar.Header) (*tar.Writer, error) {
				if p.place(h) == parts-1 {
					return out, nil
				}
				return nil, nil
			}
			return errors.Join(derive(layer, route, change), out.Close())
		})
		if err != nil {
			return err
		}
		if err := l.writeImage(tag, append(base[:len(base):len(base)], top)...); err != nil {
			return err
		}
	}
	return nil
}

// splitBase writes all layers but the last.
func (l ociLayout) splitBase(layer string, total int64) ([]layerBlob, error) {
	var blobs [parts - 1]*layerWriter
	var tars [parts - 1]*tar.Writer
	for i := range blobs {
		w, err := l.newLayer()
		if err != nil {
			return nil, err
		}
		blobs[i], tars[i] = w, tar.NewWriter(w)
	}
	p := newPlacer(total)
	err := derive(layer, func(h *tar.Header) (*tar.Writer, error) {
		if at := p.place(h); at < parts-1 {
			return tars[at], nil
		}
		return nil, nil
	}, nothing)
	var out []layerBlob
	for i, w := range blobs {
		b, ferr := w.finish(errors.Join(err, tars[i].Close()))
		if ferr != nil {
			return nil, ferr
		}
		out = append(out, b)
	}
	return out, nil
}

// placer spreads the entries of a layer over ten: directories to the first, files by position, a few files to the last.
// Names of one file stay together.
type placer struct {
	total, seen int64
	at          map[string]int
}

func newPlacer(total int64) *placer { return &placer{total: max(total, 1), at: map[string]int{}} }

func (p *placer) place(h *tar.Header) int {
	if h.Typeflag == tar.TypeDir {
		return 0
	}
	if h.Typeflag == tar.TypeLink {
		return p.at[clean(h.Linkname)]
	}
	at := min(int(p.seen*(parts-1)/p.total), parts-2)
	p.seen += h.Size
	if h.Typeflag == tar.TypeReg && h.Size < mib && changeable(h.Name) && hashOf(h.Name)%topOneOf == 0 {
		at = parts - 1
	}
	p.at[clean(h.Name)] = at
	return at
}

func clean(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, "./"), "/") }
