package central_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// rot changes a byte in the middle of stored content.
func (f *fixture) rot(d digest.Digest) {
	f.t.Helper()
	path := "/v1/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded()
	b, err := f.driver.GetContent(f.t.Context(), path)
	if err != nil {
		f.t.Fatal(err)
	}
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	if err := f.driver.PutContent(f.t.Context(), path, b); err != nil {
		f.t.Fatal(err)
	}
}

// A stored delta that is damaged is seen to be, whether a client reads it to its end or breaks off, and made anew.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		read func(io.Reader) error
	}{
		{"read to its end", func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }},
		{"broken off", func(r io.Reader) error { _, _ = r.Read(make([]byte, 1)); return io.EOF }},
		{"not read", func(io.Reader) error { return io.EOF }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil, nil)
			f.want(f.query(), false)
			f.settled()
			f.want(f.query(), true)
			f.clock.advance(10 * time.Minute)
			f.rot(digest.FromString(f.words()))
			d, err := f.central.OpenDelta(t.Context(), f.repo, f.query())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.read(d); err == nil {
				t.Error("a damaged delta is read to its end")
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			f.until("its record is gone", func() bool { return len(f.deltas()) == 0 })
			f.want(f.query(), false)
			f.settled()
			f.want(f.query(), true)
			if n := strings.Count(f.log.String(), "delta made"); n != 2 {
				t.Errorf("made %d times:\n%s", n, f.log)
			}
		})
	}
}
