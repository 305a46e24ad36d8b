package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// onOstree imports plain images as bootc does for hosts on ostree.
type onOstree struct {
	*hostimport.Ostree
	has fetched
}

func newOstree(ctx context.Context, dir string) (host, error) {
	o, err := hostimport.NewOstree(ctx, dir)
	if err != nil {
		return nil, err
	}
	o.Relabel = true
	return onOstree{o, fetched{}}, nil
}

func (h onOstree) take(ctx context.Context, img *layouts.Image, _ string) (t took, err error) {
	if t.bytes, err = h.has.of(img); err != nil {
		return t, err
	}
	before := h.CPU()
	t.tree, err = h.Import(ctx, img.Order, img.Layer)
	t.cpu = h.CPU() - before
	return t, err
}

// byOstreeExt imports encapsulated images as bootc and rpm-ostree do.
type byOstreeExt struct {
	*hostimport.OstreeExt
	ostree *hostimport.Ostree
	has    fetched
}

func (b *bench) newOstreeExt(ctx context.Context, dir string) (host, error) {
	ext, err := hostimport.NewOstreeExt(b.ostreeExt)
	if err != nil {
		return nil, err
	}
	o, err := hostimport.NewOstree(ctx, dir)
	if err != nil {
		return nil, err
	}
	return byOstreeExt{ext, o, fetched{}}, nil
}

func (h byOstreeExt) take(ctx context.Context, img *layouts.Image, _ string) (t took, err error) {
	if t.bytes, err = h.has.of(img); err != nil {
		return t, err
	}
	before := h.CPU()
	_, merged, err := h.Import(ctx, h.ostree.Repo(), img.Name)
	if err != nil {
		return t, err
	}
	t.cpu = h.CPU() - before
	t.tree, err = h.ostree.Run(ctx, nil, "ls", "-d", "-C", merged, "/")
	return t, err
}

// onComposefs imports plain images as bootc does for hosts on composefs.
type onComposefs struct {
	*hostimport.Composefs
	has fetched
}

func (b *bench) newComposefs(ctx context.Context, dir string) (host, error) {
	c, err := hostimport.NewComposefs(ctx, b.cfsctl, dir)
	if err != nil {
		return nil, err
	}
	return onComposefs{c, fetched{}}, nil
}

func (h onComposefs) take(ctx context.Context, img *layouts.Image, tag string) (t took, err error) {
	if t.bytes, err = h.has.of(img); err != nil {
		return t, err
	}
	before := h.CPU()
	if err := h.Import(ctx, "oci:"+img.Name, tag); err != nil {
		return t, err
	}
	if _, err := h.ID(ctx, tag, true); err != nil {
		return t, err
	}
	t.cpu = h.CPU() - before
	dump, err := h.Dump(ctx, tag)
	t.tree = withoutTimes(dump)
	return t, err
}

// withoutTimes is the digest of a composefs-dump(5) without times, which are not served as the source has them unless a rule
// wants it, and without the counts of links.
func withoutTimes(dump string) string {
	const links, seconds = 3, 7
	sum := sha256.New()
	for line := range strings.Lines(dump) {
		fields := strings.Split(line, " ")
		if len(fields) > seconds {
			fields[links], fields[seconds] = "-", "-"
		}
		_, _ = io.WriteString(sum, strings.Join(fields, " "))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
