package registry

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// odd is a Blob made of parts.
type odd struct {
	io.Reader
	seek func(int64, int) (int64, error)
	size int64
}

func (o odd) Seek(offset int64, whence int) (int64, error) { return o.seek(offset, whence) }
func (o odd) Size() int64                                  { return o.size }
func (o odd) Close() error                                 { return nil }
func (o odd) Origin() Origin                               { return FromStore }

func blobOf(content string, size int64) odd {
	r := strings.NewReader(content)
	return odd{r, r.Seek, size}
}

func TestBlobContentReads(t *testing.T) {
	t.Parallel()
	const content = "0123456789"
	c := newBlobContent(blobOf(content, int64(len(content))), func(any) {})
	if err := iotest.TestReader(c, []byte(content)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestBlobContentBounds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		blob  odd
		start int64
		want  string
		err   error // nil: any, or none where the content has its size
		fails bool
	}{
		{name: "longer than its size", blob: blobOf("0123456789", 4), want: "0123"},
		{name: "shorter than its size", blob: blobOf("0123", 10), want: "0123", err: io.ErrUnexpectedEOF, fails: true},
		{name: "read error", blob: odd{iotest.ErrReader(broken), nil, 10}, err: broken, fails: true},
		{name: "seek error", blob: odd{nil, func(int64, int) (int64, error) { return 0, broken }, 10}, start: 3, err: broken,
			fails: true},
		{name: "seek elsewhere", blob: odd{nil, func(int64, int) (int64, error) { return 1, nil }, 10}, start: 3,
			fails: true},
		{name: "panic", blob: odd{nil, nil, 10}, fails: true},
		{name: "end with data", blob: odd{iotest.DataErrReader(strings.NewReader("01")), nil, 2}, want: "01"},
	} {
		content := newBlobContent(c.blob, func(any) {})
		if _, err := content.Seek(c.start, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		if string(got) != c.want || (err != nil) != c.fails || !errors.Is(err, c.err) && c.err != nil {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if remembered := content.readError(); (remembered != nil) != c.fails {
			t.Errorf("%s: remembers %v", c.name, remembered)
		}
	}
}
