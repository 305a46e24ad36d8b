package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/bench/layouts"
)

// host is a machine with one client, which keeps what it took.
type host interface {
	// take takes an image. The tree is what the client calls what came: equal strings are equal trees.
	take(ctx context.Context, img *layouts.Image, tag string) (took, error)
}

// took is what an image cost a host.
type took struct {
	bytes int64
	cpu   time.Duration
	tree  string
}

// kind is a sort of clients.
type kind struct {
	name  string
	takes func(form) bool
	// host makes one in an empty directory. The error is hostimport.ErrMissing where there is no such client.
	host func(ctx context.Context, dir string) (host, error)
	// source makes the one whose trees of the sources are wanted. Nil: the client holds images to their own digests.
	source func(ctx context.Context, dir string) (host, error)
}

func plain(f form) bool        { return !f.encapsulated }
func encapsulated(f form) bool { return f.encapsulated }
func every(form) bool          { return true }

func (b *bench) kinds() []kind {
	return []kind{
		{"bootc on ostree", plain, newOstree, newOstree},
		{"bootc, rpm-ostree (ostree-ext)", encapsulated, b.newOstreeExt, newOstree},
		{"bootc on composefs (cfsctl)", plain, b.newComposefs, b.newComposefs},
		{"podman", plain, b.newPodman, b.newPodman},
		{"casync", every, b.newCasync, nil},
	}
}

// rows prints those of one client.
func (b *bench) rows(ctx context.Context, k kind, tags [3]string) error {
	want, err := b.wanted(ctx, k, tags)
	if err != nil {
		return err
	}
	for _, f := range b.forms {
		if !k.takes(f) {
			continue
		}
		first, update, err := b.two(ctx, k, f, tags[0], tags[1])
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		_, behind, err := b.two(ctx, k, f, tags[0], tags[2])
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		same := "yes"
		for n, t := range []took{first, update, behind} {
			if want[n] != "" && t.tree != want[n] {
				same = "**no**: " + tags[n]
			}
		}
		fmt.Fprintf(b.out, "| %s | %s |", k.name, f.name)
		for _, t := range []took{first, update, behind} {
			fmt.Fprintf(b.out, " %.2f | %.1f |", float64(t.bytes)/1e6, t.cpu.Seconds())
		}
		fmt.Fprintf(b.out, " %s |\n", same)
	}
	return nil
}

// wanted are the trees that the versions' sources are; none where a client compares by itself.
func (b *bench) wanted(ctx context.Context, k kind, tags [3]string) (want [3]string, err error) {
	if k.source == nil {
		return want, nil
	}
	for n, tag := range tags {
		h, clean, err := b.place(ctx, k.source)
		if err != nil {
			return want, err
		}
		t, err := b.takeOf(ctx, h, b.forms[0], tag)
		if err := errors.Join(err, clean()); err != nil {
			return want, err
		}
		want[n] = t.tree
	}
	return want, nil
}

// two has a fresh host take two versions.
func (b *bench) two(ctx context.Context, k kind, f form, from, to string) (first, next took, err error) {
	h, clean, err := b.place(ctx, k.host)
	if err != nil {
		return first, next, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	if first, err = b.takeOf(ctx, h, f, from); err == nil {
		next, err = b.takeOf(ctx, h, f, to)
	}
	return first, next, err
}

// place makes a host in a directory of its own, which clean removes.
func (b *bench) place(ctx context.Context, make func(context.Context, string) (host, error)) (host, func() error, error) {
	dir, err := os.MkdirTemp(b.work, "host-*")
	if err != nil {
		return nil, nil, err
	}
	clean := func() error { return os.RemoveAll(dir) }
	h, err := make(ctx, dir)
	if err != nil {
		return nil, nil, errors.Join(err, clean())
	}
	return h, clean, nil
}

func (b *bench) takeOf(ctx context.Context, h host, f form, tag string) (took, error) {
	img, err := layouts.OpenImage(f.layout, tag)
	if err != nil {
		return took{}, err
	}
	return h.take(ctx, img, tag)
}

// fetched is what a client fetches that takes layers whole.
type fetched map[digest.Digest]bool

func (has fetched) of(img *layouts.Image) (int64, error) {
	_, size, err := img.Missing(has)
	return size, err
}
