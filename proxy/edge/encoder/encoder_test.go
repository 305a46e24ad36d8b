package encoder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// version returns what is here of a program; all of them come with .ci/packages.
func version(t *testing.T, e *Encoders, name string) string {
	t.Helper()
	for _, p := range e.Available() {
		if p.Name == name {
			return p.Version
		}
	}
	t.Fatalf("%s is not installed: %v", name, e.Available())
	return ""
}

func TestEncode(t *testing.T) {
	t.Parallel()
	e := New(t.Context(), Options{Parallel: 2})
	plain := bytes.Repeat([]byte("plain bytes, and more of them; "), 9000)
	for _, c := range []struct {
		program, decoder string
		args             []string
	}{
		{"gzip", wrap.Gzip, []string{"-n", "-9"}},
		{"pigz", wrap.Gzip, []string{"-n", "-T", "-6"}},
		{"xz", wrap.Xz, []string{"-T2", "--check=crc32", "--lzma2=dict=1MiB"}},
		{"zstd", wrap.Zstd, []string{"-19", "--long=27", "--check"}},
	} {
		t.Run(c.program, func(t *testing.T) {
			t.Parallel()
			enc := wrap.Encoder{Program: c.program, Version: version(t, e, c.program), Args: c.args}
			var wrapped, again bytes.Buffer
			if err := e.Encode(t.Context(), enc, bytes.NewReader(plain), &wrapped); err != nil {
				t.Fatal(err)
			}
			if err := wrap.Decode(t.Context(), c.decoder, &wrapped, &again, wrap.DefaultLimits()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), plain) {
				t.Error("other bytes came back")
			}
		})
	}
}

// TestHostileArguments: nothing that names a file, or changes what a program does, gets through.
func TestHostileArguments(t *testing.T) {
	t.Parallel()
	e := New(t.Context(), Options{})
	for _, c := range []struct{ program, args string }{
		{"xz", "/etc/passwd"}, {"xz", "--files=/etc/passwd"}, {"xz", "-d"}, {"xz", "-T2 -k"}, {"xz", "--lzma2=dict=4GiB"},
		{"xz", "--lzma2=dict=999MiB"}, {"xz", "-T0"}, {"xz", "-6\n"}, {"xz", ""},
		{"gzip", "-d"}, {"gzip", "-r"}, {"gzip", "-S.x"}, {"gzip", "--"}, {"gzip", "-n9"}, {"gzip", "-9\x00"},
		{"zstd", "-o"}, {"zstd", "-o/tmp/x"}, {"zstd", "-D/etc/passwd"}, {"zstd", "--patch-from=/etc/passwd"},
		{"zstd", "--long=31"}, {"zstd", "-f"}, {"zstd", "--output-dir-flat=/tmp"}, {"zstd", "-23"},
		{"pigz", "-z"}, {"pigz", "-b9999999"}, {"pigz", "--keep"}, {"pigz", "-p64"},
		{"xz", strings.Repeat("-6 ", maxArguments) + "-6"},
	} {
		enc := wrap.Encoder{Program: c.program, Version: version(t, e, c.program), Args: strings.Split(c.args, " ")}
		if err := e.Encode(t.Context(), enc, strings.NewReader("x"), io.Discard); !errors.Is(err, ErrArguments) {
			t.Errorf("%s %q: %v", c.program, c.args, err)
		}
		if err := Check(enc); !errors.Is(err, ErrArguments) {
			t.Errorf("Check %s %q: %v", c.program, c.args, err)
		}
	}
	for _, enc := range []wrap.Encoder{{Program: "sh", Version: "5"}, {Program: "../bin/xz", Version: "5.4.1"},
		{Program: "zstd", Version: "0.0.1"}, {Program: "xz", Version: "4.9"}} {
		if err := e.Encode(t.Context(), enc, strings.NewReader("x"), io.Discard); !errors.Is(err, wrap.ErrUnavailable) {
			t.Errorf("%v: %v", enc, err)
		}
	}
}

// script returns encoders whose xz is a script, which says that it is version 5.4.1.
func script(t *testing.T, body string, o Options) *Encoders {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/bash\n[ $1 != --version ] || { echo 'xz (XZ Utils) 5.4.1'; exit; }\n" + body + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xz"), []byte(text), 0o700); err != nil { //nolint:gosec // to be run
		t.Fatal(err)
	}
	o.Dirs = []string{dir}
	e := New(t.Context(), o)
	if version(t, e, "xz") != "5.4.1" {
		t.Fatal("not found")
	}
	return e
}

// TestPrograms: what a program can do, and its caller.
func TestPrograms(t *testing.T) {
	t.Parallel()
	enc := wrap.Encoder{Program: "xz", Version: "5.4.1"}
	broken, full := errors.New("broken"), errors.New("full")
	for _, c := range []struct {
		name, body string
		plain      io.Reader
		wrapped    io.Writer
		want       error
		says       string
	}{
		{"output without end", "cat /dev/zero", strings.NewReader("x"), io.Discard, wrap.ErrLimit, ""},
		{"fails", "cat >/dev/null; for i in {1..1000}; do echo no space >&2; done; exit 3", strings.NewReader("x"),
			io.Discard, nil,
			"exit status 3: \"no space"},
		{"does not read", "echo done", strings.NewReader(strings.Repeat("x", 1<<20)), io.Discard, nil, ""},
		{"input breaks", "cat", iotest.ErrReader(broken), io.Discard, broken, ""},
		{"output breaks", "cat; sleep 60", strings.NewReader("x"), failing{full}, full, ""},
		{"no files", "while :; do echo x > $0.out; done", strings.NewReader("x"), io.Discard, wrap.ErrLimit, ""},
		{"environment", "[ \"$LC_ALL $HOME\" = 'C ' ]", strings.NewReader("x"), io.Discard, nil, ""},
		{"priority", "read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ nice _ < /proc/self/stat; sleep .2\n" +
			"read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ nice _ < /proc/self/stat; [ $nice = 19 ]",
			strings.NewReader("x"), io.Discard, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := script(t, c.body, Options{}).Encode(t.Context(), enc, c.plain, c.wrapped)
			switch {
			case c.want != nil && !errors.Is(err, c.want), c.want == nil && c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1500):
				t.Error(err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestCancel: the whole group of processes ends with the context.
func TestCancel(t *testing.T) {
	t.Parallel()
	alive := filepath.Join(t.TempDir(), "alive")
	if err := os.WriteFile(alive, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := script(t, "(while [ -e "+alive+" ]; do sleep .05; done) & echo begun; wait", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = r.Read(make([]byte, 8))
		cancel()
		_ = r.Close()
	}()
	err := e.Encode(ctx, wrap.Encoder{Program: "xz", Version: "5.4.1"}, strings.NewReader(""), w)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHang: a program that does nothing ends, whatever it did before; one that works, or waits for others, goes on.
func TestHang(t *testing.T) {
	t.Parallel()
	enc := wrap.Encoder{Program: "xz", Version: "5.4.1"}
	for _, c := range []struct {
		name, body string
		plain      io.Reader
		wrapped    io.Writer
		want       error
	}{
		{"sleeps", "sleep 600", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"took all", "cat >/dev/null; sleep 600", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"gave all", "cat; exec sleep 600", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"sleeps again and again", "while :; do sleep .1; done", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"a byte now and then", "while :; do echo; sleep .1; done", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"a child that sleeps", "sleep 600 & wait", strings.NewReader("x"), io.Discard, wrap.ErrLimit},
		{"its input is slow", "cat", iotest.OneByteReader(slow{strings.NewReader("1234")}), io.Discard, nil},
		{"its output is slow", "for i in 1 2 3 4; do echo; read; done", strings.NewReader("\n\n\n\n"), slow{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := script(t, c.body, Options{Patience: 500 * time.Millisecond}).Encode(t.Context(), enc, c.plain, c.wrapped)
			if !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
}

// slow takes a while for everything.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(400 * time.Millisecond)
	return s.Reader.Read(p)
}

func (slow) Write(p []byte) (int, error) {
	time.Sleep(400 * time.Millisecond)
	return len(p), nil
}

// TestProcessor: a program that never ends does.
func TestProcessor(t *testing.T) {
	t.Parallel()
	e := script(t, "while :; do :; done", Options{Processor: 1})
	err := e.Encode(t.Context(), wrap.Encoder{Program: "xz", Version: "5.4.1"}, strings.NewReader(""), io.Discard)
	if !errors.Is(err, wrap.ErrLimit) {
		t.Error(err)
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	e := New(t.Context(), Options{})
	if e.Pace() != 1 {
		t.Error("a pace before anything has run")
	}
	if err := e.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.Pace() <= 0 || len(e.speed.taken) != len(e.Available()) {
		t.Errorf("pace %f of %d programs", e.Pace(), len(e.speed.taken))
	}
}

func TestNoPrograms(t *testing.T) {
	t.Parallel()
	if got := New(t.Context(), Options{Dirs: []string{t.TempDir(), "/nonexistent", "relative"}}).Available(); len(got) != 0 {
		t.Error(got)
	}
}
