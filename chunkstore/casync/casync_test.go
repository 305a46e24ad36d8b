package casync_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/strata-oci/strata/chunkstore/casync"
)

// stream is noise with a run of zeros in it, where chunks end by their greatest length.
func stream(seed byte, size int) []byte {
	b := make([]byte, size)
	c := rand.NewChaCha8([32]byte{seed})
	_, _ = c.Read(b)
	if size > 1<<20 {
		clear(b[size/3 : size/2])
	}
	return b
}

// indexOf cuts a stream, and compares what the chunks hold with it.
func indexOf(t testing.TB, b []byte, s casync.Sizes) *casync.Index {
	t.Helper()
	x := &casync.Index{Sizes: s}
	var all []byte
	err := casync.Cut(iotest.HalfReader(bytes.NewReader(b)), s, func(content []byte) error {
		x.Chunks = append(x.Chunks, casync.Chunk{ID: casync.Sum(content), Size: len(content)})
		all = append(all, content...)
		return nil
	})
	if err != nil || !bytes.Equal(all, b) || x.Length() != int64(len(b)) {
		t.Fatalf("%v; the chunks are another stream", err)
	}
	return x
}

func encode(t testing.TB, x *casync.Index) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := x.Write(&out); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != casync.EncodedSize(len(x.Chunks)) {
		t.Errorf("%d bytes, not %d", out.Len(), casync.EncodedSize(len(x.Chunks)))
	}
	return out.Bytes()
}

// run runs a program of casync's or skips the test where it is missing.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// The index is what casync makes of the same bytes, to the last bit, and casync reads ours.
func TestAsCasync(t *testing.T) {
	t.Parallel()
	sizes := []casync.Sizes{casync.DefaultSizes(), {1 << 10, 4 << 10, 16 << 10}, {64 << 10, 256 << 10, 1 << 20},
		{48, 100, 1000}, {3000, 5000, 70001}, {4096, 4096, 4096}, {1 << 20, 4 << 20, 8 << 20}}
	for i, size := range []int{0, 1, 47, 48, 49, 4096, 16 << 10, 16<<10 + 1, 256 << 10, 1<<20 + 1, 9<<20 + 5} {
		for _, s := range sizes {
			if size > 100*s.Avg { // a file for each chunk takes time
				continue
			}
			dir, b := t.TempDir(), stream(byte(i), size)
			blob, index := filepath.Join(dir, "blob"), filepath.Join(dir, "x.caibx")
			if err := os.WriteFile(blob, b, 0o600); err != nil {
				t.Fatal(err)
			}
			flag := fmt.Sprintf("--chunk-size=%d:%d:%d", s.Min, s.Avg, s.Max)
			run(t, "casync", "make", flag, "--store="+filepath.Join(dir, "store"), index, blob)
			want, err := os.ReadFile(index)
			if err != nil {
				t.Fatal(err)
			}
			x := indexOf(t, b, s)
			if !bytes.Equal(encode(t, x), want) {
				t.Errorf("%d bytes in %+v: another index than casync's", size, s)
			}
			read, err := casync.ReadIndex(bytes.NewReader(want))
			if err != nil || read.Length() != int64(size) || !bytes.Equal(encode(t, read), want) {
				t.Errorf("%d bytes in %+v: read: %v", size, s, err)
			}
			if size > 0 {
				sameDigest(t, blob, index, flag, filepath.Join(dir, "store"))
			}
		}
	}
}

// sameDigest compares what casync says of a file and of its index.
func sameDigest(t *testing.T, blob, index, flag, store string) {
	t.Helper()
	if a, b := run(t, "casync", "digest", flag, blob), run(t, "casync", "digest", "--store="+store, index); a != b {
		t.Errorf("casync digest %s of the file, %s of the index", a, b)
	}
}

// A store that is written here gives the stream again, to both programs.
func TestStore(t *testing.T) {
	t.Parallel()
	s := casync.Sizes{1 << 10, 4 << 10, 16 << 10}
	b := stream(77, 300_000)
	dir := t.TempDir()
	e, err := casync.NewEncoder(s)
	if err != nil {
		t.Fatal(err)
	}
	d, err := casync.NewDecoder(s)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	x := &casync.Index{Sizes: s}
	err = casync.Cut(bytes.NewReader(b), s, func(content []byte) error {
		id := casync.Sum(content)
		x.Chunks = append(x.Chunks, casync.Chunk{ID: id, Size: len(content)})
		packed := e.Append(nil, content)
		if got, err := d.Decode(nil, id, packed); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %v", id, err)
		}
		path := filepath.Join(dir, "store", filepath.FromSlash(casync.Path(id, true)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, packed, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "x.caibx")
	if err := os.WriteFile(index, encode(t, x), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"casync", "desync"} {
		t.Run(program, func(t *testing.T) {
			out := filepath.Join(dir, program)
			run(t, program, "extract", "--store="+filepath.Join(dir, "store"), index, out)
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, b) {
				t.Errorf("it made another stream, %v", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	s := casync.Sizes{1 << 10, 4 << 10, 16 << 10}
	e, err := casync.NewEncoder(casync.DefaultSizes())
	if err != nil {
		t.Fatal(err)
	}
	d, err := casync.NewDecoder(s)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	bomb := make([]byte, 200<<10)
	for what, packed := range map[string][]byte{
		"other bytes": e.Append(nil, []byte("other")), "no frame": []byte("text"), "nothing": nil,
		"more than a chunk may have": e.Append(nil, bomb),
	} {
		id := casync.Sum([]byte("this"))
		if what[0] == 'm' {
			id = casync.Sum(bomb)
		}
		if _, err := d.Decode(nil, id, packed); !errors.Is(err, casync.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCutRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []casync.Sizes{{}, {Min: 47, Avg: 100, Max: 200}, {Min: 100, Avg: 50, Max: 200},
		{Min: 100, Avg: 200, Max: 1 << 40}, {Min: 100, Avg: 9 << 20, Max: 10 << 20}} {
		if err := casync.Cut(bytes.NewReader(nil), s, nil); err == nil {
			t.Errorf("%+v", s)
		}
	}
	broken := errors.New("full")
	one := strings.NewReader("x")
	if err := casync.Cut(one, casync.DefaultSizes(), func([]byte) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	r := io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))
	if err := casync.Cut(r, casync.DefaultSizes(), func([]byte) error { return nil }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := casync.ParseSizes("16:64:256")
	if err != nil || s != casync.DefaultSizes() || s.String() != "16:64:256" {
		t.Errorf("%v, %v", s, err)
	}
	for _, text := range []string{"", "64", "16:64", "16:64:256:1", "a:b:c", "-1:64:256", "256:64:16", "0:1:2",
		"16:64:999999",
		"99999999999999999999:1:1"} {
		if s, err := casync.ParseSizes(text); err == nil {
			t.Errorf("%q: %v", text, s)
		}
	}
	id := casync.Sum([]byte("x"))
	for _, compressed := range []bool{true, false} {
		got, c, err := casync.ParsePath(casync.Path(id, compressed))
		if err != nil || got != id || c != compressed {
			t.Errorf("%s: %v", casync.Path(id, compressed), err)
		}
	}
	text := id.String()
	for _, path := range []string{"", "/", text, text[:4] + "/", "0000/" + text, text[:4] + "/" + text + ".cacnk.cacnk",
		text[:4] + "/" + strings.ToUpper(text), text[:4] + "/" + text + "/", text[:4] + "/" + text[:63] + "g"} {
		if _, _, err := casync.ParsePath(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

// Whatever is read as an index is written as one that says the same.
func FuzzReadIndex(f *testing.F) {
	x := indexOf(f, stream(3, 100_000), casync.Sizes{1 << 10, 4 << 10, 16 << 10})
	whole := encode(f, x)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), 0))
	f.Add(encode(f, &casync.Index{Sizes: casync.DefaultSizes()}))
	f.Add([]byte("no index"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := casync.ReadIndex(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, casync.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		again, err := casync.ReadIndex(bytes.NewReader(encode(t, x)))
		if err != nil || again.Length() != x.Length() || len(again.Chunks) != len(x.Chunks) {
			t.Errorf("written again: %v", err)
		}
	})
}

// Chunks are within their sizes, and what follows a cut does not depend on what was before it.
func FuzzCut(f *testing.F) {
	f.Add(stream(1, 5000), uint16(48), uint16(100), uint16(1000))
	f.Add([]byte{}, uint16(1), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, a, m, z uint16) {
		s := casync.Sizes{int(a), int(m), int(z)}
		if s.Check() != nil {
			return
		}
		x := indexOf(t, b, s)
		for i, c := range x.Chunks {
			if c.Size > s.Max || c.Size < s.Min && i < len(x.Chunks)-1 {
				t.Errorf("a chunk of %d bytes in %+v", c.Size, s)
			}
		}
		if len(x.Chunks) > 1 {
			rest := indexOf(t, b[x.Chunks[0].Size:], s)
			if len(rest.Chunks) != len(x.Chunks)-1 || rest.Chunks[0] != x.Chunks[1] {
				t.Error("the first chunk changes the second")
			}
		}
	})
}

func Example() {
	x := casync.Index{Sizes: casync.DefaultSizes()}
	err := casync.Cut(strings.NewReader("a small stream"), x.Sizes, func(content []byte) error {
		x.Chunks = append(x.Chunks, casync.Chunk{ID: casync.Sum(content), Size: len(content)})
		return nil
	})
	fmt.Println(err, len(x.Chunks), x.Length(), casync.Path(x.Chunks[0].ID, true)[:8])
	// Output: <nil> 1 14 517b/517
}
