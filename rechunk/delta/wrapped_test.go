package delta

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// zipper are Encoders with one program, whose bytes are those of Go's gzip.
type zipper struct {
	broken bool // makes other bytes
	none   bool
}

func (z zipper) Available() []Program { return []Program{{Name: wrap.ProgramGzip, Version: "1.12"}} }

func (z zipper) Encode(_ context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error {
	if z.none || e.Program != wrap.ProgramGzip {
		return wrap.ErrUnavailable
	}
	b, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	if z.broken {
		b = append(b, 0)
	}
	_, err = wrapped.Write(zipped(b))
	return err
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Header.OS = 3
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// archive is a cpio archive of files, in the order of their names.
func archive(names []string, f files, time int) []byte {
	var out []byte
	add := func(name string, b []byte) {
		out = fmt.Appendf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			len(out), 0o100644, 0, 0, 1, time, len(b), 0, 0, 0, 0, len(name)+1, 0)
		out = append(append(out, name...), 0)
		out = append(out, make([]byte, -len(out)&3)...)
		out = append(out, b...)
		out = append(out, make([]byte, -len(out)&3)...)
	}
	for _, n := range names {
		add(n, f[n])
	}
	add("TRAILER!!!", nil)
	return out
}

// system is a tree with modules and an initramfs that has them, too.
func system(version string, plain map[string][]byte, time int) files {
	f := files{}
	var bare []string
	for i := range len(plain) {
		p := fmt.Sprintf("usr/lib/modules/%s/kernel/m%d.ko.gz", version, i)
		f[p] = zipped(plain[fmt.Sprint(i)])
		bare = append(bare, p)
	}
	conf := files{"etc/a.conf": plain["0"], "usr/bin/tool": plain["1"]}
	inner := zipped(archive([]string{"etc/a.conf", "usr/bin/tool"}, conf, time))
	f["boot/initrd.img-"+version] = append(archive(bare, f, time), inner...)
	return f
}

// modules are the plain bytes of some modules, and of the next version.
func modules(r *rand.Rand) (old, now map[string][]byte) {
	old, now = map[string][]byte{}, map[string][]byte{}
	for i := range 6 {
		b := make([]byte, 20_000+r.IntN(20_000))
		for k := range b {
			b[k] = byte(r.IntN(200))
		}
		old[fmt.Sprint(i)] = b
		c := bytes.Clone(b)
		for range 30 {
			c[r.IntN(len(c))]++
		}
		now[fmt.Sprint(i)] = append(c[:5000:5000], c[4990:]...)
	}
	return old, now
}

// Modules of another version cost what is new in them, once, though the initramfs has them, too.
func TestWrapped(t *testing.T) {
	t.Parallel()
	before, now := modules(rand.New(rand.NewPCG(1, 7)))
	old := system("1.2.3", before, 1000)
	next := system("1.2.4", now, 2000)
	target, want := next.target(t)
	scratch := &temp{}
	delta, report := made(t, target, old, Options{Scratch: scratch, Encoders: zipper{}, Parallel: 2})
	if len(delta) > 12_000 {
		t.Errorf("a delta of %d bytes", len(delta))
	}
	for _, i := range report.Items {
		if how := map[bool]How{true: Wrapped, false: Same}[i.Path == "boot/initrd.img-1.2.4"]; i.How != how {
			t.Errorf("%s is made as %s, not %s: %s", i.Path, i.How, how, i.Why)
		}
	}
	got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: scratch, Encoders: zipper{}, Parallel: 3})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, not the %d of the layer: %v", len(got), len(want), err)
	}
	if scratch.open.Load() != 0 {
		t.Errorf("%d temporary files are left", scratch.open.Load())
	}
	for name, encoders := range map[string]Encoders{"broken": zipper{broken: true}, "missing": zipper{none: true},
		"nil": nil} {
		if _, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: scratch, Encoders: encoders}); !errors.Is(err,
			ErrEncoder) {
			t.Errorf("%s encoders: %v", name, err)
		}
	}
}

// What is remembered, the worth and the number of workers decide on nothing but size.
func TestWorth(t *testing.T) {
	t.Parallel()
	before, now := modules(rand.New(rand.NewPCG(1, 8)))
	old := system("1.2.3", before, 1000)
	for _, worth := range []int64{0, 1 << 20, 1 << 40} {
		target, want := system("1.2.4", now, 2000).target(t)
		delta, report := made(t, target, old, Options{Scratch: &temp{}, Encoders: zipper{}, Worth: worth})
		if (report.Seconds == 0) != (worth == 1<<40) {
			t.Errorf("worth %d: %v seconds", worth, report.Seconds)
		}
		got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: &temp{}, Encoders: zipper{}})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("worth %d: %v", worth, err)
		}
	}
}

// Seeds with wrapped files that are wrong give ErrSource.
func TestWrappedSeedsThatAreWrong(t *testing.T) {
	t.Parallel()
	before, now := modules(rand.New(rand.NewPCG(1, 9)))
	old := system("1.2.3", before, 1000)
	target, want := system("1.2.4", now, 2000).target(t)
	delta, _ := made(t, target, old, Options{Scratch: &temp{}, Encoders: zipper{}})
	r := rand.New(rand.NewPCG(2, 9))
	for p := range old {
		seed := files{}
		for q, b := range old {
			seed[q] = bytes.Clone(b)
		}
		seed[p][r.IntN(len(seed[p]))] ^= 1
		got, err := applied(t.Context(), delta, seed, ApplyOptions{Scratch: &temp{}, Encoders: zipper{}})
		if err == nil && !bytes.Equal(got, want) || err != nil && !errors.Is(err, ErrSource) {
			t.Errorf("%s: %v", p, err)
		}
	}
}
