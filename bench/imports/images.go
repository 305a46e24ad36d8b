package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// hosts are hosts of each kind, which keep what they have imported. Those that are nil are not measured.
type hosts struct {
	ostree    *hostimport.Ostree
	ext       *hostimport.OstreeExt // takes what ostree itself would, into its repository
	composefs *hostimport.Composefs
}

// newHosts makes hosts below a directory, of plain images or of encapsulated ones.
func (b *bench) newHosts(ctx context.Context, dir string, encapsulated bool) (h hosts, err error) {
	if h.ostree, err = hostimport.NewOstree(ctx, dir); err != nil {
		return h, err
	}
	h.ostree.Relabel = true
	if encapsulated {
		h.ext, err = hostimport.NewOstreeExt(b.ostreeExt)
		return h, err
	}
	if h.composefs, err = hostimport.NewComposefs(ctx, b.cfsctl, dir); errors.Is(err, hostimport.ErrMissing) {
		h.composefs, err = nil, nil
	}
	return h, err
}

// onOstree imports an image and gives the processor time that it took.
func (h *hosts) onOstree(ctx context.Context, img *layouts.Image) (time.Duration, error) {
	if h.ext != nil {
		before := h.ext.CPU()
		_, _, err := h.ext.Import(ctx, h.ostree.Repo(), img.Name)
		return h.ext.CPU() - before, err
	}
	before := h.ostree.CPU()
	_, err := h.ostree.Import(ctx, img.Order, img.Layer)
	return h.ostree.CPU() - before, err
}

// onComposefs is onOstree for hosts on composefs; – without one.
func (h *hosts) onComposefs(ctx context.Context, img *layouts.Image, tag string) (string, error) {
	if h.composefs == nil {
		return "–", nil
	}
	before := h.composefs.CPU()
	if err := h.composefs.Import(ctx, "oci:"+img.Name, tag); err != nil {
		return "", err
	}
	if _, err := h.composefs.ID(ctx, tag, true); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f", (h.composefs.CPU() - before).Seconds()), nil
}

// imports prints a row for each version of a layout, imported in turn.
func (b *bench) imports(ctx context.Context, name, dir string, tags []string, encapsulated bool) (err error) {
	work, err := os.MkdirTemp(b.work, "hosts-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	h, err := b.newHosts(ctx, work, encapsulated)
	if err != nil {
		return err
	}
	has := map[digest.Digest]bool{}
	for _, tag := range tags {
		img, err := layouts.OpenImage(dir, tag)
		if err != nil {
			return err
		}
		fresh, size, err := img.Missing(has)
		if err != nil {
			return err
		}
		onOstree, err := h.onOstree(ctx, img)
		if err != nil {
			return fmt.Errorf("%s: %w", img.Name, err)
		}
		onComposefs, err := h.onComposefs(ctx, img, tag)
		if err != nil {
			return fmt.Errorf("%s: %w", img.Name, err)
		}
		fmt.Fprintf(b.out, "| %s | %s | %d | %d | %d | %.1f | %s |\n", name, tag, len(img.Order), fresh, size,
			onOstree.Seconds(), onComposefs)
	}
	return nil
}
