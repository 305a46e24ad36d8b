// Package hostimport imports images as hosts do, with the hosts' own commands, so that tests and benchmarks hold what is
// served to what a machine would boot.
package hostimport

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrMissing: what an import needs is not there: a command, or root.
var ErrMissing = errors.New("hosts' imports cannot be tried")

// Open opens the uncompressed tar of a layer.
type Open func(layer digest.Digest) (io.ReadCloser, error)

// Ostree imports images as bootc 1.16 does for hosts on ostree (tar/write.rs and container/store.rs of its ostree-ext), with
// the ostree command alone: each layer is filtered and committed, all are checked out over one another, and the result is
// committed, labelled by the policy in it. What it has imported it keeps, as a host does. Not for concurrent use.
type Ostree struct {
	// Relabel has each layer committed once more, labelled by the policy in the image. bootc does so whenever an image
	// changes; it costs time and changes no checksum of the root.
	Relabel bool

	dir  string
	refs map[digest.Digest]string // of layers that it has
	cpu  time.Duration
}

// NewOstree makes a repository in dir, which must exist. The error is ErrMissing without the command or without root, which
// keeping owners and attributes on disk takes.
func NewOstree(ctx context.Context, dir string) (*Ostree, error) {
	if _, err := exec.LookPath("ostree"); err != nil {
		return nil, fmt.Errorf("%w: there is no ostree", ErrMissing)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: it takes root to keep owners and attributes on disk", ErrMissing)
	}
	o := &Ostree{dir: dir, refs: map[digest.Digest]string{}}
	if _, err := o.Run(ctx, nil, "init", "--mode=bare"); err != nil {
		return nil, err
	}
	_, err := o.Run(ctx, nil, "config", "set", "core.fsync", "false")
	return o, err
}

// Repo is the repository.
func (o *Ostree) Repo() string { return filepath.Join(o.dir, "repo") }

// Run is what the ostree command prints, about this repository. Stdin may be nil.
func (o *Ostree) Run(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ostree", append([]string{"--repo=" + o.Repo()}, args...)...)
	out, spent, err := run(cmd, stdin)
	o.cpu += spent
	return out, err
}

// CPU is the processor time that commands took so far, in the user's code and in the kernel.
func (o *Ostree) CPU() time.Duration { return o.cpu }

// Import imports an image with these layers, lowest first, and gives the checksums of its root: of its contents and of its
// own attributes. The commit is the branch merged.
func (o *Ostree) Import(ctx context.Context, order []digest.Digest, open Open) (root string, err error) {
	checkout := filepath.Join(o.dir, "checkout")
	defer func() { err = errors.Join(err, os.RemoveAll(checkout)) }()
	for _, d := range order {
		if err := o.layer(ctx, d, open); err != nil {
			return "", err
		}
		if _, err := o.Run(ctx, nil, "checkout", "-H", "-z", "--union", "--whiteouts", o.refs[d], checkout); err != nil {
			return "", err
		}
	}
	commit := []string{"commit", "--no-bindings", "--link-checkout-speedup", "--branch", "merged", "--tree=dir=" + checkout}
	_, err = os.Stat(filepath.Join(checkout, "usr/etc/selinux/config"))
	labelled := err == nil
	if labelled {
		commit = append(commit, "--selinux-policy="+checkout)
	}
	if _, err := o.Run(ctx, nil, commit...); err != nil {
		return "", err
	}
	if labelled && o.Relabel {
		for _, d := range order {
			if err := o.relabel(ctx, o.refs[d], checkout); err != nil {
				return "", err
			}
		}
	}
	return o.Run(ctx, nil, "ls", "-d", "-C", "merged", "/")
}

// layer commits a layer that is not there yet.
func (o *Ostree) layer(ctx context.Context, d digest.Digest, open Open) error {
	if o.refs[d] != "" {
		return nil
	}
	plain, err := open(d)
	if err != nil {
		return fmt.Errorf("layer %s: %w", d, err)
	}
	defer plain.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(filter(w, plain)) }()
	defer r.Close()
	ref := "layer/" + d.Encoded()
	_, err = o.Run(ctx, r, "commit", "--no-bindings", "--tar-autocreate-parents", "--tree=tar=/proc/self/fd/0", "--branch",
		ref)
	if err != nil {
		return fmt.Errorf("layer %s: %w", d, err)
	}
	o.refs[d] = ref
	return nil
}

// relabel commits a layer again with the labels that a policy gives it.
func (o *Ostree) relabel(ctx context.Context, ref, policy string) (err error) {
	checkout := filepath.Join(o.dir, "relabel")
	defer func() { err = errors.Join(err, os.RemoveAll(checkout)) }()
	if _, err := o.Run(ctx, nil, "checkout", "-H", "-z", ref, checkout); err != nil {
		return err
	}
	_, err = o.Run(ctx, nil, "commit", "--no-bindings", "--branch", ref, "--tree=dir="+checkout, "--selinux-policy="+policy)
	return err
}

// filter writes a layer as it is given to ostree: /etc in /usr/etc, and nothing in directories that are made at boot.
func filter(to io.Writer, layer io.Reader) error {
	r, w := tar.NewReader(layer), tar.NewWriter(to)
	for {
		h, err := r.Next()
		if err == io.EOF {
			if err := w.Close(); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, layer) // to the end, so that who decodes it sees that it is whole
			return err
		}
		if err != nil {
			return err
		}
		top, below, _ := strings.Cut(relative(h.Name), "/")
		if below != "" && slices.Contains([]string{"run", "tmp", "proc", "sys", "dev"}, top) {
			continue
		}
		delete(h.PAXRecords, "path")
		delete(h.PAXRecords, "linkpath")
		h.Name, h.Format = place(h.Name), tar.FormatPAX
		if h.Typeflag == tar.TypeLink {
			h.Linkname = place(h.Linkname)
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

func relative(name string) string { return path.Clean(strings.TrimPrefix(name, "/")) }

// place is where ostree has a path.
func place(name string) string {
	if name = relative(name); tree.Within(name, "etc") {
		return "./usr/" + name
	}
	return "./" + name
}

// run is what a command prints, without white space around it, and the processor time that it took.
func run(cmd *exec.Cmd, stdin io.Reader) (string, time.Duration, error) {
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var out, failed bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &failed
	err := cmd.Run()
	var spent time.Duration
	if cmd.ProcessState != nil {
		spent = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return "", spent, fmt.Errorf("%v: %w: %s", cmd.Args, err, failed.String())
	}
	return strings.TrimSpace(out.String()), spent, nil
}
