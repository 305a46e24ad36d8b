package hostimport

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// OstreeExt makes and imports ostree-encapsulated images with the program of .ci/ostree-ext: ostree-ext, the library that
// rpm-ostree and bootc are made of, as it was before bootc took it in. It reads images that say what they encapsulate only.
// Not for concurrent use.
type OstreeExt struct {
	program string
	cpu     time.Duration
}

// NewOstreeExt uses a program. The error is ErrMissing without it or without skopeo, by which it reads images.
func NewOstreeExt(program string) (*OstreeExt, error) {
	for _, p := range []string{program, "skopeo"} {
		if _, err := exec.LookPath(p); err != nil {
			return nil, fmt.Errorf("%w: there is no %s", ErrMissing, p)
		}
	}
	return &OstreeExt{program: program}, nil
}

// CPU is the processor time that commands took so far, in the user's code and in the kernel.
func (o *OstreeExt) CPU() time.Duration { return o.cpu }

// Encapsulate writes a commit of a repository as an image into an OCI layout, LAYOUT:TAG: in one layer, or, with chunks
// above zero, in as many at most and one with the metadata.
func (o *OstreeExt) Encapsulate(ctx context.Context, repo, ref, layout string, chunks int) error {
	args := []string{"encapsulate", repo, ref, layout}
	if chunks > 0 {
		args = append(args, strconv.Itoa(chunks))
	}
	_, err := o.run(ctx, args...)
	return err
}

// Import takes an image of an OCI layout, LAYOUT:TAG, into a repository, as a host does: what it has it does not fetch. It
// gives the commit that was encapsulated and the one of what the host boots.
func (o *OstreeExt) Import(ctx context.Context, repo, layout string) (commit, merged string, err error) {
	out, err := o.run(ctx, "import", repo, layout)
	if err != nil {
		return "", "", err
	}
	commit, merged, ok := strings.Cut(out, " ")
	if !ok {
		return "", "", fmt.Errorf("%s import: %q are not two commits", o.program, out)
	}
	return commit, merged, nil
}

func (o *OstreeExt) run(ctx context.Context, args ...string) (string, error) {
	out, spent, err := run(exec.CommandContext(ctx, o.program, args...), nil)
	o.cpu += spent
	return out, err
}
