package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

// again reads the same bytes so many times.
type again struct {
	bytes []byte
	at    int
	times int
}

func (a *again) Read(p []byte) (int, error) {
	if a.times == 0 {
		return 0, io.EOF
	}
	n := copy(p, a.bytes[a.at:])
	if a.at += n; a.at == len(a.bytes) {
		a.at, a.times = 0, a.times-1
	}
	return n, nil
}

// A stream of nothing but headers does not take memory without end, whether they are many or long.
func TestManyHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header tar.Header
		times  int
		want   error
	}{
		"some": {tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, 1000, nil},
		"many": {tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, maxTold + 1, errManyHeaders},
		"long": {tar.Header{Typeflag: tar.TypeDir, Name: "d/", PAXRecords: map[string]string{
			"SCHILY.xattr.user.x": string(make([]byte, 1<<19))}}, 1100, errManyHeaders},
	} {
		var b bytes.Buffer
		if err := tar.NewWriter(&b).WriteHeader(&c.header); err != nil {
			t.Fatal(err)
		}
		err := countHeaders(&again{bytes: b.Bytes(), times: c.times})
		if !errors.Is(err, c.want) && (c.want != nil || err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
