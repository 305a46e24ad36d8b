package hostimport

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// Composefs imports images as hosts on composefs do, with the cfsctl command of composefs-rs, which bootc's backend is made
// of. What it has imported it keeps, as a host does. Not for concurrent use.
type Composefs struct {
	cfsctl, repo string
	cpu          time.Duration
}

// NewComposefs makes a repository below dir, which must exist. The error is ErrMissing without the command or without
// skopeo, by which it reads images.
func NewComposefs(ctx context.Context, cfsctl, dir string) (*Composefs, error) {
	for _, program := range []string{cfsctl, "skopeo"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: there is no %s", ErrMissing, program)
		}
	}
	c := &Composefs{cfsctl: cfsctl, repo: filepath.Join(dir, "composefs")}
	// Without fs-verity, which not every file system has; the digests are the same.
	if _, err := c.run(ctx, "init", "--insecure"); err != nil {
		return nil, err
	}
	return c, nil
}

// CPU is the processor time that commands took so far, in the user's code and in the kernel.
func (c *Composefs) CPU() time.Duration { return c.cpu }

// Import imports an image that skopeo can read, oci:DIR:TAG for one, under a name.
func (c *Composefs) Import(ctx context.Context, ref, name string) error {
	_, err := c.run(ctx, "oci", "pull", ref, name)
	return err
}

// ID is what composefs calls the filesystem of an image: the fs-verity digest of its metadata, with every header, attribute
// and content. Bootable is the one that bootc deploys: labelled by the image's policy, and without what is in /boot.
func (c *Composefs) ID(ctx context.Context, name string, bootable bool) (string, error) {
	args := []string{"oci", "compute-id", name}
	if bootable {
		args = append(args, "--bootable")
	}
	return c.run(ctx, args...)
}

// Dump is the filesystem of an image as lines of composefs-dump(5): path, size, mode, links, owner, group, device, time,
// payload, content, digest, attributes.
func (c *Composefs) Dump(ctx context.Context, name string) (string, error) {
	return c.run(ctx, "oci", "dump", name)
}

func (c *Composefs) run(ctx context.Context, args ...string) (string, error) {
	out, spent, err := run(exec.CommandContext(ctx, c.cfsctl, append([]string{"--repo", c.repo}, args...)...), nil)
	c.cpu += spent
	return out, err
}
