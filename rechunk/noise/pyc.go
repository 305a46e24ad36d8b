package noise

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// CompiledFrom is the path of the file that a compiled one of Python is made of: dir/__pycache__/NAME.TAG[.opt-N].pyc of
// dir/NAME.py, and beside its source, as Python 2 and compileall -b have it, NAME.pyc or NAME.pyo of NAME.py.
func CompiledFrom(p string) (source string, ok bool) {
	ext := path.Ext(p)
	if ext != ".pyc" && ext != ".pyo" {
		return "", false
	}
	dir, base := path.Split(p)
	name := strings.TrimSuffix(base, ext)
	if up, cached := strings.CutSuffix(dir, "__pycache__/"); cached {
		dir = up
		if i := strings.LastIndex(name, ".opt-"); i > 0 {
			name = name[:i]
		}
		i := strings.LastIndexByte(name, '.')
		if i <= 0 {
			return "", false
		}
		name = name[:i]
	}
	return dir + name + ".py", name != ""
}

// QuotedTime reads the header of a compiled file, of which 16 bytes are enough: the time that its source must have, and
// where in the header it stands. The magic number, two bytes and "\r\n", tells the version of Python: since 3.7 (3394) flags
// stand before the time, and the lowest says that the content quotes a hash of its source and no time.
func QuotedTime(header []byte) (stamp uint32, at int, ok bool) {
	const first3, first37, first2 = 3000, 3390, 20000
	if len(header) < 8 || header[2] != '\r' || header[3] != '\n' {
		return 0, 0, false
	}
	magic := binary.LittleEndian.Uint16(header)
	if magic < first37 || magic >= first2 { // Python 2 counts from 20121 up to 62211
		return binary.LittleEndian.Uint32(header[4:]), 4, magic >= first3
	}
	if len(header) < 16 || binary.LittleEndian.Uint32(header[4:])&1 != 0 {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint32(header[8:]), 8, true
}

// compiled makes the form of a compiled file: all but the time that it quotes.
func compiled(ctx context.Context, c Content) (*form, error) {
	header := make([]byte, min(c.Size(), 16))
	if n, err := c.ReadAt(header, 0); n < len(header) {
		return nil, err
	}
	stamp, at, ok := QuotedTime(header)
	if !ok {
		return nil, unjudged("it quotes no time")
	}
	clear(header[at : at+4])
	sum := sha256.New()
	sum.Write(header)
	rest := io.NewSectionReader(c, int64(len(header)), c.Size()-int64(len(header)))
	if _, err := io.Copy(sum, &ending{rest, ctx.Err}); err != nil {
		return nil, err
	}
	f := &form{noise: []noise{{"the quoted time", "file", []uint64{uint64(stamp)}}}}
	sum.Sum(f.sum[:0])
	return f, nil
}

// ending reads until a context ends.
type ending struct {
	r     io.Reader
	ended func() error
}

// Read implements io.Reader.
func (e *ending) Read(p []byte) (int, error) {
	if err := e.ended(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

// Source returns the positions of the source of a compiled file in both trees, if the file may be kept: when it quotes the
// time that its source has, before and now, and nothing of the source changed but that. quoted are the times that were
// quoted.
func (f *File) source(old, now *tree.Tree, quoted [2]uint32) (before, after *tree.Entry) {
	p, _ := CompiledFrom(now.Entries[f.Names[0]].Path)
	before, after = old.Lookup(p), now.Lookup(p)
	if before == nil || after == nil || after.Kind != tree.Regular || after.Link != "" || !before.Same(after) ||
		uint32(before.Sec) != quoted[0] || uint32(after.Sec) != quoted[1] {
		return nil, nil
	}
	return before, after
}

// WithSources leaves out compiled files whose time and their source's would not agree: where they do not now, or did not
// before, and where another file that is compiled of the same source changed and is not kept. quoted holds the times that
// the compiled ones quote, before and now, by their first name's position.
func WithSources(old, now *tree.Tree, files []File, quoted map[int][2]uint32) []File {
	kept, bad := map[string]bool{}, map[string]bool{}
	of := func(f *File) (source, p string) {
		p = now.Entries[f.Names[0]].Path
		source, _ = CompiledFrom(p)
		return source, p
	}
	for i := range files {
		f := &files[i]
		if f.Kind != Compiled {
			continue
		}
		source, p := of(f)
		kept[p] = true
		if before, _ := f.source(old, now, quoted[f.Names[0]]); before == nil {
			bad[source] = true
		}
	}
	if len(kept) == 0 {
		return files
	}
	for i := range now.Entries {
		e := &now.Entries[i]
		source, ok := CompiledFrom(e.Path)
		if !ok || kept[e.Path] || e.Kind != tree.Regular {
			continue
		}
		if was := old.Lookup(e.Path); was == nil || was.Digest != e.Digest {
			bad[source] = true
		}
	}
	return slices.DeleteFunc(files, func(f File) bool {
		source, _ := of(&f)
		return f.Kind == Compiled && bad[source]
	})
}
