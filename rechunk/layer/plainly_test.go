package layer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// many is a tree of files with size bytes each, of a text that they share no lines of.
func many(files, size int) (*tree.Tree, Contents) {
	body, contents := text(files*max(size, 1)), Contents{}
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}}}
	for i := range files {
		e := tree.Entry{Path: fmt.Sprintf("%03d-%d", i/100, i), Kind: tree.Regular, Mode: 0o644, Size: int64(size)}
		if size > 0 {
			e.Digest = contents.Add(body[i*size : (i+1)*size])
		}
		t.Entries = append(t.Entries, e)
	}
	slices.SortFunc(t.Entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return t, contents
}

// Of many files that are tiny a client would fetch more for the table of contents than it saves by it, so that there is
// none: the layer is that of zstd, byte by byte, by whatever writer and as often as it is made, and says so.
func TestTinyFiles(t *testing.T) {
	t.Parallel()
	w, err := layer.Chunked.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files, size int
		told        bool
	}{{2000, 0, false}, {2000, 30, false}, {2000, 200, false}, {2000, 2000, true}, {50, 0, true}, {50, 30, true}} {
		full, contents := many(c.files, c.size)
		want, _ := write(t, full, all(full), contents, layer.Zstd)
		got, blob := write(t, full, all(full), contents, layer.Chunked)
		plain := bytes.Equal(got, want) && blob.Encoder != nil && *blob.Encoder == layer.Zstd.Spec().Encoder &&
			blob.Why != "" && blob.Annotations == nil
		if told := toc.Told(blob.Annotations) && blob.Encoder == nil && blob.Why == ""; told != c.told || plain == c.told {
			t.Errorf("%d files of %d bytes: %d bytes, %d as zstd, %+v", c.files, c.size, len(got), len(want), blob)
		}
		var again bytes.Buffer
		if _, err := writeTo(t.Context(), w, &again, full, all(full), contents); err != nil ||
			!bytes.Equal(again.Bytes(), got) {
			t.Errorf("%d files of %d bytes: another blob by a writer that wrote before, %v", c.files, c.size, err)
		}
		x, _, err := layer.Read(t.Context(), bytes.NewReader(got), blob, layer.Chunked, tree.Limits{})
		if err != nil || len(x.Entries) != len(full.Entries) {
			t.Errorf("%d files of %d bytes: %v", c.files, c.size, err)
		}
	}
}

// A content that fails while it is found out whether a layer gets a table fails the layer.
func TestTinyFilesFail(t *testing.T) {
	t.Parallel()
	full, _ := many(2000, 30)
	var out bytes.Buffer
	_, err := writeOne(t.Context(), &out, full, all(full), failing{}, layer.Chunked)
	if !errors.Is(err, errFailing) || out.Len() > 0 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

var errFailing = errors.New("no content")

// failing has no contents.
type failing struct{}

func (failing) Open(tree.Digest) (io.ReadCloser, error) { return nil, errFailing }

// BenchmarkTables gives what tables of contents cost in layers of many files: bytes of the layer as zstd and with a table,
// and what of these are the table and tar-split's data, which clients fetch in any case.
func BenchmarkTables(b *testing.B) {
	for _, size := range []int{0, 30, 100, 200, 400, 1000, 4000} {
		full, contents := many(20_000, size)
		b.Run(fmt.Sprintf("20000 files of %d bytes", size), func(b *testing.B) {
			for b.Loop() {
				plain, _ := write(b, full, all(full), contents, layer.Zstd)
				made, err := layer.Compress(b.Context(), io.Discard, bytes.NewReader(frames(b, plain)), layer.Chunked)
				if err != nil {
					b.Fatal(err)
				}
				p, err := toc.Find(made.Annotations)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(plain)), "zstd-B")
				b.ReportMetric(float64(made.Size), "chunked-B")
				b.ReportMetric(float64(p.Table.Size+p.TarSplit.Size), "table-B")
			}
		})
	}
}
