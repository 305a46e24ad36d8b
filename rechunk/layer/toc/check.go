package toc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// maxEntry bounds one entry of a table, in bytes of JSON, and a little more.
const maxEntry = 4 << 20

// file is an entry of a table. Members that say where contents lie are left out: what clients fetch by them has to have the
// digest that is here.
type file struct {
	Type, Name, Linkname string
	Mode, Size           int64
	UID, GID             int
	ModTime              time.Time
	Devmajor, Devminor   int64
	Xattrs               map[string]string
	Digest               string
	Chunk                json.RawMessage // what is not looked at
}

// fields are the members of an entry. Others, and those in other letters, are refused: clients might read them.
func (f *file) fields() map[string]any {
	return map[string]any{
		"type": &f.Type, "name": &f.Name, "linkName": &f.Linkname, "mode": &f.Mode, "size": &f.Size, "uid": &f.UID,
		"gid": &f.GID, "modtime": &f.ModTime, "devMajor": &f.Devmajor, "devMinor": &f.Devminor, "xattrs": &f.Xattrs,
		"digest": &f.Digest, "offset": &f.Chunk, "endOffset": &f.Chunk, "chunkSize": &f.Chunk, "chunkOffset": &f.Chunk,
		"chunkDigest": &f.Chunk, "chunkType": &f.Chunk,
	}
}

// Check reads a table and reports whether it says what the layer's tar stream was found to hold: the same names, each once,
// with the same headers and digests of contents. raw are the blob's bytes at p.Table. It reads strictly: what one client may
// take for this and another for that is refused. An error wraps ErrInvalid. Memory is a fraction of the index's.
func Check(raw []byte, p Place, x *tree.Index) error {
	if err := check(raw, p, x); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func check(raw []byte, p Place, x *tree.Index) error {
	if p.TooLong() || int64(len(raw)) != p.Table.Size {
		return errors.New("it is not as long as clients take")
	}
	if got := digest.FromBytes(raw); got != p.Digest {
		return fmt.Errorf("its digest is %s, and not %s as annotated", got, p.Digest)
	}
	z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	src := &paced{r: io.LimitReader(z, p.Table.Plain+1)}
	d := &table{src: src, json: json.NewDecoder(src), index: x, seen: make([]bool, len(x.Entries)),
		hidden: make([]bool, len(x.Whiteouts))}
	if len(x.Links)+len(x.Opaque) > 0 {
		return errors.New("the layer has links to other layers, or opaque directories")
	}
	if err := d.document(); err != nil {
		return err
	}
	if d.json.InputOffset() != p.Table.Plain {
		return fmt.Errorf("it is not %d bytes of JSON", p.Table.Plain)
	}
	if i := slices.Index(d.seen, false); i >= 0 {
		return fmt.Errorf("%.200q is not in it", x.Entries[i].Path)
	}
	if i := slices.Index(d.hidden, false); i >= 0 {
		return fmt.Errorf("the whiteout of %.200q is not in it", x.Whiteouts[i])
	}
	return nil
}

// paced is a reader that gives no more than it was allowed to, so that one entry is not the whole table.
type paced struct {
	r       io.Reader
	read    int64
	allowed int64
}

func (p *paced) Read(b []byte) (int, error) {
	if p.read >= p.allowed {
		return 0, fmt.Errorf("an entry is longer than %d bytes", maxEntry)
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.allowed-p.read)])
	p.read += int64(n)
	return n, err
}

// table is a table while it is read.
type table struct {
	src    *paced
	json   *json.Decoder
	index  *tree.Index
	seen   []bool // of the index's entries
	hidden []bool // of its whiteouts
	files  string // name of the file that chunks may follow for
}

// token reads one token, which must be want unless that is nil.
func (t *table) token(want json.Token) (json.Token, error) {
	t.src.allowed = t.json.InputOffset() + maxEntry
	got, err := t.json.Token()
	if err == nil && want != nil && got != want {
		err = fmt.Errorf("%.40v where %v was expected", got, want)
	}
	return got, err
}

// object reads an object, of which member reads the values. Each member is there once at most.
func (t *table) object(member func(name string) error) error {
	if _, err := t.token(json.Delim('{')); err != nil {
		return err
	}
	seen := map[string]bool{}
	for t.json.More() {
		name, err := t.token(nil)
		if err != nil {
			return err
		}
		key, _ := name.(string)
		if seen[key] {
			return fmt.Errorf("member %.40q comes twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := t.token(json.Delim('}'))
	return err
}

func (t *table) value(v any) error {
	t.src.allowed = t.json.InputOffset() + maxEntry
	return t.json.Decode(v)
}

func (t *table) document() error {
	var version int
	var tarSplit string
	err := t.object(func(name string) error {
		switch name {
		case "version":
			return t.value(&version)
		case "tarSplitDigest":
			return t.value(&tarSplit)
		case "entries":
			return t.entries()
		}
		return fmt.Errorf("member %.40q is not known", name)
	})
	if err == nil && version != 1 {
		err = fmt.Errorf("version %d is not known", version)
	}
	return err
}

func (t *table) entries() error {
	if _, err := t.token(json.Delim('[')); err != nil {
		return err
	}
	for t.json.More() {
		var f file
		fields := f.fields()
		err := t.object(func(name string) error {
			field, ok := fields[name]
			if !ok {
				return fmt.Errorf("member %.40q is not known", name)
			}
			return t.value(field)
		})
		if err == nil {
			err = t.entry(&f)
		}
		if err != nil {
			return err
		}
	}
	_, err := t.token(json.Delim(']'))
	return err
}

// entry compares an entry with the layer's.
func (t *table) entry(f *file) error {
	if f.Type == "chunk" {
		if f.Name != t.files || f.Name == "" {
			return fmt.Errorf("a piece of %.200q does not follow its file", f.Name)
		}
		return nil
	}
	t.files = ""
	if f.Type == "reg" {
		t.files = f.Name
	}
	path := clean(f.Name)
	if base := path[strings.LastIndexByte(path, '/')+1:]; strings.HasPrefix(base, ".wh.") {
		return t.whiteout(f, strings.TrimSuffix(path, base)+strings.TrimPrefix(base, ".wh."))
	}
	i, ok := slices.BinarySearchFunc(t.index.Entries, path, func(e tree.Entry, p string) int {
		return tree.ComparePaths(e.Path, p)
	})
	if !ok || t.seen[i] {
		return fmt.Errorf("%.200q is in it and not in the layer, or twice", f.Name)
	}
	t.seen[i] = true
	if what := differs(f, &t.index.Entries[i]); what != "" {
		return fmt.Errorf("%.200q has another %s in it", f.Name, what)
	}
	return nil
}

// clean gives the path of a name as the layer writes it.
func clean(name string) string {
	if path := strings.TrimSuffix(name, "/"); path != "" {
		return path
	}
	return name
}

func (t *table) whiteout(f *file, path string) error {
	i, ok := slices.BinarySearchFunc(t.index.Whiteouts, path, tree.ComparePaths)
	if !ok || t.hidden[i] || f.Type != "reg" || f.Size != 0 {
		return fmt.Errorf("the whiteout of %.200q is in it and not in the layer, or twice", path)
	}
	t.hidden[i] = true
	return nil
}

// typeOf is a table's name for a kind.
func typeOf(k tree.Kind) string {
	switch k {
	case tree.Dir:
		return "dir"
	case tree.Regular:
		return "reg"
	case tree.Symlink:
		return "symlink"
	case tree.Char:
		return "char"
	case tree.Block:
		return "block"
	case tree.Fifo:
		return "fifo"
	}
	return ""
}

// differs says what of an entry is not as in the layer, "" for nothing.
func differs(f *file, e *tree.Entry) string {
	if f.Type == "hardlink" {
		if e.Link == "" || e.Link == e.Path || clean(f.Linkname) != e.Link {
			return "link"
		}
	} else if f.Type != typeOf(e.Kind) || f.Linkname != e.Target || e.Link != "" && e.Link != e.Path {
		return "type"
	}
	content := ""
	if e.Kind == tree.Regular && e.Size > 0 && f.Type == "reg" {
		content = "sha256:" + e.Digest.String()
	}
	switch {
	case f.Mode != int64(e.Mode):
		return "mode"
	case f.UID != e.UID || f.GID != e.GID:
		return "owner"
	case f.ModTime.Unix() != e.Sec || f.ModTime.Nanosecond() != int(e.Nsec):
		return "time"
	case f.Devmajor != e.Major || f.Devminor != e.Minor:
		return "device"
	case f.Type == "reg" && f.Size != e.Size || f.Type != "reg" && f.Size != 0 || f.Digest != content:
		return "content"
	case !sameXattrs(f.Xattrs, e.Xattrs):
		return "attribute"
	}
	return ""
}

func sameXattrs(told map[string]string, have []tree.Xattr) bool {
	if len(told) != len(have) {
		return false
	}
	for _, x := range have {
		v, ok := told[x.Name]
		if !ok || v != base64.StdEncoding.EncodeToString([]byte(x.Value)) {
			return false
		}
	}
	return true
}
