package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// form is a series in one form.
type form struct {
	name, layout string
	encapsulated bool // its layers hold objects of ostree
}

// chunksOfPeers is how many layers ostree-ext is asked for, as rpm-ostree does.
const chunksOfPeers = 64

// makeForms puts the source, what ostree-ext makes of it and what Strata serves before the peers that were given.
func (b *bench) makeForms(ctx context.Context, source string, tags [3]string) error {
	forms := []form{{name: "source", layout: source}}
	encapsulated := form{"encapsulated by ostree-ext", filepath.Join(b.work, "encapsulated"), true}
	switch err := b.encapsulate(ctx, source, encapsulated.layout, tags); {
	case errors.Is(err, hostimport.ErrMissing):
		fmt.Fprintf(b.out, "left out: %s: %v\n\n", encapsulated.name, err)
	case err != nil:
		return err
	default:
		forms = append(forms, encapsulated)
	}
	names := []string{layer.Zstd.Spec().Name, layer.Gzip.Spec().Name, layer.Chunked.Spec().Name, rechunk.FormOSTree}
	for _, name := range names {
		layout := filepath.Join(b.work, "served-"+strings.ReplaceAll(name, ":", "-"))
		f := form{name, layout, name == rechunk.FormOSTree}
		if err := b.serve(ctx, source, f, tags); err != nil {
			return err
		}
		forms = append(forms, f)
	}
	b.forms = append(forms, b.forms...)
	return nil
}

// serve rechunks a series, with the source's links, which are part of composefs' trees.
func (b *bench) serve(ctx context.Context, source string, f form, tags [3]string) error {
	for _, tag := range tags {
		if _, _, err := process.Measure(ctx, b.strata, "rechunk", "--state", f.layout+".state", "--name", "os",
			"--format", f.name, "--hardlinks", "preserve", "oci:"+source+":"+tag, "oci:"+f.layout+":"+tag); err != nil {
			return err
		}
	}
	return os.RemoveAll(f.layout + ".state")
}

// encapsulate makes images of commits of a series, which a host with ostree made.
func (b *bench) encapsulate(ctx context.Context, source, to string, tags [3]string) error {
	ext, err := hostimport.NewOstreeExt(b.ostreeExt)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, tag := range tags {
		dir, err := os.MkdirTemp(b.work, "compose-*")
		if err != nil {
			return err
		}
		host, err := hostimport.NewOstree(ctx, dir)
		if err != nil {
			return err
		}
		img, err := layouts.OpenImage(source, tag)
		if err != nil {
			return err
		}
		if _, err := host.Import(ctx, img.Order, img.Layer); err != nil {
			return err
		}
		commit, err := host.Run(ctx, nil, "commit", "--no-bindings", "--branch=composed", "--tree=ref=merged",
			"--add-metadata=ostree.bootable=true")
		if err != nil {
			return err
		}
		if err := ext.Encapsulate(ctx, host.Repo(), commit, to+":"+tag, chunksOfPeers); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
