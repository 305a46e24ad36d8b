// Package encoder runs the machine's xz, gzip, zstd and pigz to wrap plain bytes as package rechunk/delta/wrap asks for.
//
// What to run comes with a delta, which anybody may have made. So nothing of it reaches a program but arguments from a short
// list: no file name, no output, no other program. The programs get their input and give their output through pipes, in a
// process group of their own that ends with the context, without a shell, in an empty environment, at the lowest priority,
// within limits of memory, time and output.
package encoder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// ErrArguments says that an encoder was to be run with arguments that are not on the list.
var ErrArguments = errors.New("arguments that encoders are not run with")

// Options are how encoders are run; what is left out has a default.
type Options struct {
	// Dirs are where the programs are looked for, absolute: /usr/local/bin, /usr/bin and /bin.
	Dirs []string
	// Parallel is how many run at the same time; 1.
	Parallel int
	// Processor is what one run may take of a core: 10 minutes.
	Processor time.Duration
	// Patience is how long a program may do nothing, and what a run may take beside the time that its bytes allow: 1 minute.
	Patience time.Duration
	// Memory is the address space of one process: 2 GiB.
	Memory int64
}

func (o Options) filled() Options {
	if o.Dirs == nil {
		o.Dirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}
	}
	o.Parallel = max(o.Parallel, 1)
	if o.Processor <= 0 {
		o.Processor = 10 * time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Memory <= 0 {
		o.Memory = 2 << 30
	}
	return o
}

// Encoders runs programs. It implements wrap.Encoders and is safe for concurrent use.
type Encoders struct {
	o        Options
	programs []program // by name
	running  *semaphore.Weighted
	speed    speed
}

// program is one that was found.
type program struct {
	wrap.Program
	path string
}

var _ wrap.Encoders = (*Encoders)(nil)

// New looks for the programs and asks each for its version, once. One that is not there or does not say is not available;
// that is no error.
func New(ctx context.Context, o Options) *Encoders {
	o = o.filled()
	e := &Encoders{o: o, running: semaphore.NewWeighted(int64(o.Parallel))}
	for _, name := range []string{wrap.ProgramGzip, wrap.ProgramPigz, wrap.ProgramXz, wrap.ProgramZstd} {
		if p, ok := e.find(ctx, name); ok {
			e.programs = append(e.programs, p)
		}
	}
	return e
}

// versionOf finds the version in the first line that a program prints; busybox' namesakes print none of these.
var versionOf = regexp.MustCompile(`^(?:gzip|pigz|xz \(XZ Utils\)|\*\*\* (?:Zstandard CLI|zstd command line interface) .*) v?` +
	`(\d{1,4}(?:\.\d{1,4}){1,3})\b`)

// probePatience is how long a program may take to say its version. It has nothing to do with how long one may rest over its
// work: a busy machine, where it takes long to begin, is to have its programs all the same.
const probePatience = time.Minute

func (e *Encoders) find(ctx context.Context, name string) (program, bool) {
	for _, dir := range e.o.Dirs {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		out := &head{most: 1 << 10}
		_, err = e.run(ctx, path, []string{"--version"}, probePatience, bytes.NewReader(nil), out)
		line, _, _ := strings.Cut(string(out.bytes), "\n")
		if m := versionOf.FindStringSubmatch(line); err == nil && m != nil {
			return program{wrap.Program{Name: name, Version: m[1]}, path}, true
		}
	}
	return program{}, false
}

// Available implements wrap.Encoders.
func (e *Encoders) Available() []wrap.Program {
	out := make([]wrap.Program, 0, len(e.programs))
	for _, p := range e.programs {
		out = append(out, p.Program)
	}
	return out
}

// Encode implements wrap.Encoders. Beyond its errors, there are ErrArguments and what a program says when it fails.
func (e *Encoders) Encode(ctx context.Context, enc wrap.Encoder, plain io.Reader, wrapped io.Writer) error {
	i := slices.IndexFunc(e.programs, func(p program) bool { return p.Name == enc.Program })
	if i < 0 || !wrap.Compatible(enc, []wrap.Program{e.programs[i].Program}) {
		return fmt.Errorf("%w: %.32s %.32s", wrap.ErrUnavailable, enc.Program, enc.Version)
	}
	args, err := arguments(enc)
	if err != nil {
		return err
	}
	if err := e.running.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.running.Release(1)
	start := time.Now()
	n, err := e.run(ctx, e.programs[i].path, args, e.o.Patience, plain, wrapped)
	if err == nil {
		e.speed.add(enc, n, time.Since(start))
	}
	return err
}

// run runs a program to its end, or to that of its patience, and returns how many bytes it was given.
func (e *Encoders) run(ctx context.Context, path string, args []string, patience time.Duration, plain io.Reader,
	wrapped io.Writer) (int64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	in := &input{r: plain, stop: stop}
	out := &output{w: wrapped, in: in, stop: stop}
	complaint := &head{most: 512}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, complaint
	cmd.WaitDelay = 5 * time.Second
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", wrap.ErrUnavailable, err)
	}
	if err := restrict(cmd.Process.Pid, e.o); err != nil {
		_ = cmd.Cancel()
		_ = cmd.Wait()
		return 0, fmt.Errorf("limiting %s: %w", path, err)
	}
	unwatched := watch(ctx, cmd.Process.Pid, in, out, patience, stop)
	err := cmd.Wait()
	unwatched()
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		if errors.Is(err, wrap.ErrLimit) {
			err = fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		err = fmt.Errorf("%w: %s: %w", wrap.ErrLimit, filepath.Base(path), err)
	case err != nil:
		err = fmt.Errorf("%s: %w: %q", filepath.Base(path), err, complaint.bytes)
	}
	return in.n.Load(), err
}
