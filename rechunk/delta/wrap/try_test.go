package wrap_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// programs are encoders: a gzip that is Go's, and keeps what it was run with.
type programs struct {
	version string
	mu      sync.Mutex
	runs    []string
}

func (p *programs) Available() []wrap.Program {
	return []wrap.Program{{Name: "gzip", Version: p.version}}
}

func (p *programs) Encode(ctx context.Context, e wrap.Encoder, plain io.Reader, wrapped io.Writer) error {
	p.mu.Lock()
	p.runs = append(p.runs, e.String())
	p.mu.Unlock()
	if !wrap.Compatible(e, p.Available()) {
		return wrap.ErrUnavailable
	}
	if slices.Contains(e.Args, "-9") {
		_, err := io.Copy(wrapped, io.LimitReader(zero{}, 1<<40)) // who compares ends it
		return err
	}
	return goGzip(plain, wrapped, e.Args)
}

// goGzip makes what gzip's header says of a file without name and time, on Unix.
func goGzip(plain io.Reader, wrapped io.Writer, args []string) error {
	level := gzip.DefaultCompression
	if slices.Contains(args, "-3") {
		level = 3
	}
	w, err := gzip.NewWriterLevel(wrapped, level)
	if err != nil {
		return err
	}
	w.OS = 3
	if _, err := io.Copy(w, plain); err != nil {
		return err
	}
	return w.Close()
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// trials are in memory.
type trials struct {
	mu sync.Mutex
	m  map[tree.Digest]wrap.Trial
}

func (r *trials) Tried(_ context.Context, d tree.Digest) (wrap.Trial, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	trial, ok := r.m[d]
	return trial, ok, nil
}

func (r *trials) Remember(_ context.Context, d tree.Digest, trial wrap.Trial) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[d] = trial
	return nil
}

func level3(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := goGzip(bytes.NewReader(plain), &b, []string{"-3"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTry(t *testing.T) {
	t.Parallel()
	plain := file(t, "plain")
	content := slices.Concat(level3(t, plain), level3(t, plain[:5000]), level3(t, plain[:4000]))
	p := &programs{version: "1.13"}
	trials := &trials{m: map[tree.Digest]wrap.Trial{}}
	trier := wrap.NewTrier(p, trials, wrap.DefaultLimits())
	parts := parse(t, content, wrap.DefaultLimits())
	for i := range parts {
		if err := trier.Try(t.Context(), bytes.NewReader(content), &parts[i]); err != nil {
			t.Fatal(err)
		}
		want := &wrap.Encoder{Program: "gzip", Version: "1.13", Args: []string{"-n", "-3"}}
		if diff := cmp.Diff(want, parts[i].Encoder); diff != "" {
			t.Error(diff)
		}
		if parts[i].Seconds <= 0 {
			t.Error("costs nothing")
		}
	}
	guesses := []string{"gzip/1.13 -n -6", "gzip/1.13 -n -6 --rsyncable", "gzip/1.13 -n -8", "gzip/1.13 -n -7",
		"gzip/1.13 -n -5",
		"gzip/1.13 -n -4", "gzip/1.13 -n -3"}
	fits := guesses[len(guesses)-1]
	if diff := cmp.Diff(append(guesses, fits, fits), p.runs); diff != "" {
		t.Errorf("siblings cost more than one run each: %s", diff)
	}
	// Another run, with the same memory.
	p.runs = nil
	if err := wrap.NewTrier(p, trials, wrap.DefaultLimits()).Try(t.Context(), bytes.NewReader(content),
		&parts[1]); err != nil {
		t.Fatal(err)
	}
	if len(p.runs) > 0 || parts[1].Encoder == nil {
		t.Errorf("tried again: %v", p.runs)
	}
}

// TestTryNothing: what no program makes is remembered for these programs, and given up on for its kind.
func TestTryNothing(t *testing.T) {
	t.Parallel()
	plain := file(t, "plain")
	p, trials := &programs{version: "1.13"}, &trials{m: map[tree.Digest]wrap.Trial{}}
	trier := wrap.NewTrier(p, trials, wrap.DefaultLimits())
	for i := range 30 {
		content := gzipped(t, plain[i:])
		copy(content[4:], "\x00\x00\x00\x00\x00\x03") // as gzip -n on Unix says
		part := parse(t, content, wrap.DefaultLimits())[0]
		if err := trier.Try(t.Context(), bytes.NewReader(content), &part); err != nil || part.Encoder != nil {
			t.Fatal(err, part.Encoder)
		}
	}
	if n := len(p.runs); n == 0 || n > 12*8 {
		t.Errorf("%d runs", n)
	}
	first := gzipped(t, plain)
	copy(first[4:], "\x00\x00\x00\x00\x00\x03")
	part := parse(t, first, wrap.DefaultLimits())[0]
	for i, version := range []string{"1.13", "1.99"} {
		q, again := &programs{version: version}, i > 0
		if err := wrap.NewTrier(q, trials, wrap.DefaultLimits()).Try(t.Context(), bytes.NewReader(first),
			&part); err != nil {
			t.Fatal(err)
		}
		if len(q.runs) > 0 != again {
			t.Errorf("%s: %v", version, q.runs)
		}
	}
}

// TestTryDamaged: a part that can't be decoded is an error of its own.
func TestTryDamaged(t *testing.T) {
	t.Parallel()
	content := level3(t, file(t, "plain"))
	part := parse(t, content, wrap.DefaultLimits())[0]
	content[300] ^= 1
	err := wrap.NewTrier(&programs{version: "1.13"}, nil, wrap.DefaultLimits()).Try(t.Context(), bytes.NewReader(content),
		&part)
	if !errors.Is(err, wrap.ErrInvalid) || part.Encoder != nil {
		t.Error(err)
	}
}

// TestTokens: what no program makes again, this package does by its tokens; without any program.
func TestTokens(t *testing.T) {
	t.Parallel()
	plain := bytes.Repeat(file(t, "plain"), 20)
	member := gzipped(t, plain)
	for decoder, wrapped := range map[string][]byte{
		wrap.Zstd: zstded(t, plain), wrap.Gzip: member, wrap.Deflate: member[10 : len(member)-8],
	} {
		content := slices.Concat([]byte("before"), wrapped)
		part := wrap.Part{Offset: 6, Length: int64(len(wrapped)), Decoder: wrap.Tokens(decoder)}
		if err := wrap.NewTrier(nil, nil, wrap.DefaultLimits()).Try(t.Context(), bytes.NewReader(content),
			&part); err != nil {
			t.Fatal(err)
		}
		if part.Encoder == nil || !wrap.Compatible(*part.Encoder, nil) || !slices.Contains(wrap.Decoders(), part.Decoder) {
			t.Fatalf("%s: %v", decoder, part.Encoder)
		}
		var tokens, again bytes.Buffer
		if err := wrap.Decode(t.Context(), part.Decoder, bytes.NewReader(wrapped), &tokens,
			wrap.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		err := wrap.Encode(t.Context(), nil, *part.Encoder, &tokens, &again)
		if err != nil || !bytes.Equal(again.Bytes(), wrapped) {
			t.Error(decoder, err, again.Len())
		}
		err = wrap.Encode(t.Context(), nil, *part.Encoder, bytes.NewReader([]byte("no tokens")), io.Discard)
		if !errors.Is(err, wrap.ErrInvalid) {
			t.Error(decoder, err)
		}
		for _, bad := range [][]byte{wrapped[:len(wrapped)/2], append(bytes.Clone(wrapped), 1), nil} {
			err := wrap.Decode(t.Context(), part.Decoder, bytes.NewReader(bad), io.Discard, wrap.DefaultLimits())
			if !errors.Is(err, wrap.ErrInvalid) {
				t.Errorf("%s of %d bytes: %v", decoder, len(bad), err)
			}
		}
	}
	for _, e := range []wrap.Encoder{{Program: "strata", Version: "1", Args: []string{"sh"}},
		{Program: "strata", Version: "0"},
		{Program: "xz", Version: "5.4.1"}} {
		if err := wrap.Encode(t.Context(), nil, e, bytes.NewReader(nil), io.Discard); !errors.Is(err, wrap.ErrUnavailable) {
			t.Errorf("%v: %v", e, err)
		}
	}
	if wrap.Tokens(wrap.Xz) != "" {
		t.Error("tokens of xz")
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	plain := file(t, "plain")
	for _, c := range []struct {
		decoder string
		wrapped []byte
		want    error
	}{
		{wrap.Gzip, gzipped(t, plain), nil},
		{wrap.Gzip, append(gzipped(t, plain), 0), wrap.ErrInvalid},
		{wrap.Gzip, append(gzipped(t, plain), gzipped(t, plain)...), wrap.ErrInvalid},
		{wrap.Gzip, gzipped(t, plain)[:900], wrap.ErrInvalid},
		{wrap.Gzip, nil, wrap.ErrInvalid},
		{wrap.Zstd, zstded(t, plain), nil},
		{wrap.Zstd, zstded(t, plain)[:900], wrap.ErrInvalid},
		{wrap.Zstd, append(zstded(t, plain), 1, 2, 3), wrap.ErrInvalid},
		{wrap.ZstdTokens, zstded(t, plain)[:900], wrap.ErrInvalid},
		{wrap.ZstdTokens, append(zstded(t, plain), 1), wrap.ErrInvalid},
		{wrap.ZstdTokens, plain, wrap.ErrInvalid},
		{wrap.Xz, file(t, "threads.xz"), nil},
		{wrap.Xz, file(t, "threads.xz")[:900], wrap.ErrInvalid},
		{wrap.Xz, append(file(t, "threads.xz"), 1, 2, 3, 4), wrap.ErrInvalid},
		{"cat", plain, wrap.ErrInvalid},
		{wrap.Gzip, gzipped(t, make([]byte, 9<<20)), wrap.ErrLimit},
	} {
		lim := wrap.DefaultLimits()
		lim.Plain = 8 << 20
		var b bytes.Buffer
		err := wrap.Decode(t.Context(), c.decoder, bytes.NewReader(c.wrapped), &b, lim)
		if c.want == nil && (err != nil || !bytes.Equal(b.Bytes(), plain)) || !errors.Is(err, c.want) {
			t.Errorf("%s of %d: %v", c.decoder, len(c.wrapped), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wrap.Decode(ctx, wrap.Xz, bytes.NewReader(file(t, "single.xz")), io.Discard,
		wrap.DefaultLimits()); !errors.Is(err,
		context.Canceled) {
		t.Error(err)
	}
	full := errors.New("full")
	if err := wrap.Decode(t.Context(), wrap.Xz, bytes.NewReader(file(t, "single.xz")), fails{full},
		wrap.DefaultLimits()); !errors.Is(
		err, full) {
		t.Error(err)
	}
}

type fails struct{ err error }

func (f fails) Write([]byte) (int, error) { return 0, f.err }

func TestSeconds(t *testing.T) {
	t.Parallel()
	last := 0.0
	for _, args := range [][]string{{"-T1", "--lzma2=preset=0,dict=1"}, {"-1"}, {"-2e"}, {"--lzma2=preset=3e"},
		{"--check=crc32"}} {
		got := wrap.Encoder{Program: "xz", Args: args}.Seconds(1 << 20)
		if got <= last {
			t.Errorf("%v: %v, not more than %v", args, got, last)
		}
		last = got
	}
	if a, b := (wrap.Encoder{Program: "xz", Args: []string{"--lzma2=preset=6,dict=1048576"}}).Seconds(1<<20), last; a != b {
		t.Errorf("the default preset: %v, %v", a, b)
	}
}

func TestCompatible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program, want, have string
		ok                  bool
	}{
		{"xz", "5.4.1", "5.8.1", true}, {"xz", "5.8.1", "5.4.1", true}, {"xz", "5.2.5", "5.8.1", false},
		{"xz", "5.2.5", "5.2.5", true},
		{"gzip", "1.12", "1.13", true}, {"gzip", "1.3", "1.13", false}, {"zstd", "1.5.4", "1.5.7", false},
		{"zstd", "1.5.7", "1.5.7", true}, {"pigz", "2.6", "2.8", false}, {"xz", "", "5.8.1", false},
		{"xz", "5", "5.8.1", false},
	} {
		e := wrap.Encoder{Program: c.program, Version: c.want}
		have := []wrap.Program{{Name: "other", Version: c.want}, {Name: c.program, Version: c.have}}
		if got := wrap.Compatible(e, have); got != c.ok {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// An initramfs is parsed, and its compressed part made plain.
func ExampleParse() {
	var image bytes.Buffer
	w := gzip.NewWriter(&image)
	_, _ = w.Write(cpio(member{"init", []byte("#!/bin/sh\n")}, member{"etc/hostname", []byte("box\n")}))
	_ = w.Close()
	content := bytes.NewReader(image.Bytes())
	parts, err := wrap.Parse(context.Background(), content, wrap.DefaultLimits(), nil)
	if err != nil {
		panic(err)
	}
	for _, p := range parts {
		fmt.Println(p.Decoder, p.Size, "bytes")
		for _, m := range p.Parts {
			fmt.Println(" ", m.Name, "at", m.Offset, "has", m.Size)
		}
		var plain bytes.Buffer
		wrapped := io.NewSectionReader(content, p.Offset, p.Length)
		if err := wrap.Decode(context.Background(), p.Decoder, wrapped, &plain, wrap.DefaultLimits()); err != nil {
			panic(err)
		}
		fmt.Printf("%.6s…\n", plain.Bytes())
	}
	// Output:
	// gzip 380 bytes
	//   init at 116 has 10
	//   etc/hostname at 252 has 4
	// 070701…
}
