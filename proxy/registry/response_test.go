package registry

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// kernel is a ResponseWriter that takes parts of one reader, as net/http does for sendfile.
type kernel struct {
	*httptest.ResponseRecorder
	from  io.Reader
	parts []int64
	fail  error // of the second part
}

func (k *kernel) ReadFrom(src io.Reader) (int64, error) {
	l, ok := src.(*io.LimitedReader)
	if !ok || l.R != k.from {
		return 0, errors.New("not a part of the reader")
	}
	if k.fail != nil && len(k.parts) == 1 {
		return 0, k.fail
	}
	n, err := io.Copy(k.Body, l)
	k.parts = append(k.parts, n)
	return n, err
}

func TestResponseInTurns(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 5*turn/32) // two turns and a half
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		limit int64
		fail  error
		sent  int
		parts int
	}{
		{"all", int64(len(content)), nil, len(content), 3},
		{"less than a turn", 100, nil, 100, 1},
		{"nothing", 0, nil, 0, 0},
		{"whole turns", 2 * turn, nil, 2 * turn, 2},
		{"too short", int64(len(content)) + turn, nil, len(content), 3},
		{"client leaves", int64(len(content)), broken, turn, 1},
	} {
		from := strings.NewReader(content)
		k := &kernel{ResponseRecorder: httptest.NewRecorder(), from: from, fail: c.fail}
		w := &response{ResponseWriter: k}
		src := &io.LimitedReader{R: from, N: c.limit}
		n, err := w.ReadFrom(src)
		if n != int64(c.sent) || w.bytes != n || !errors.Is(err, c.fail) || len(k.parts) != c.parts || src.N != c.limit-n {
			t.Errorf("%s: %d bytes in %d parts, %d left, error %v", c.name, n, len(k.parts), src.N, err)
		}
		if !bytes.Equal(k.Body.Bytes(), []byte(content[:c.sent])) {
			t.Errorf("%s: other bytes", c.name)
		}
	}
}
