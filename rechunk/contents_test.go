package rechunk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// coldImage is a run whose contents are in two layers that have not been read: "slow", which opens when gate says so, and
// "fast".
func coldImage(t *testing.T, gate func(context.Context) error) (c *contents, slow, fast tree.Digest) {
	t.Helper()
	spool, err := scan.NewSpool(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spool.Close() })
	c = &contents{run: &run{Engine: New(Config{}), spool: spool}}
	add := func(name string, gate func(context.Context) error) tree.Digest {
		blob := Gzip(t, Tar(t, File(name, strings.Repeat(name, 100))))
		s, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.addCold(coldLayer{digest: digest.FromBytes(blob), index: s.Index,
			open: func(ctx context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(blob)), gate(ctx)
			}})
		return s.Index.Entries[0].Digest
	}
	slow = add("slow", gate)
	fast = add("fast", func(context.Context) error { return nil })
	return c, slow, fast
}

// Who wants a content waits for a layer that is on its way only if that layer has it.
func TestNobodyWaitsForAnothersLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		reads := 0
		c, slow, fast := coldImage(t, func(context.Context) error { reads++; <-open; return nil })
		done := make(chan error, 2)
		for range 2 { // two want it, one reads it
			go func() { done <- c.need(t.Context(), []tree.Digest{slow}) }()
			synctest.Wait()
		}
		if err := c.need(t.Context(), []tree.Digest{fast}); err != nil {
			t.Error(err)
		}
		if len(c.damaged()) != 0 || len(done) != 0 {
			t.Error("the slow layer is there already")
		}
		close(open)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if reads != 1 || !c.has(slow) {
			t.Errorf("read %d times", reads)
		}
	})
}

// One who gives up leaves the layer to the others, and whoever waits can give up, too.
func TestGivingUpOnALayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c, slow, _ := coldImage(t, func(ctx context.Context) error {
			if reads++; reads > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		reader, giveUp := context.WithCancel(t.Context())
		waiter, leave := context.WithCancel(t.Context())
		first, second, third := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { first <- c.need(reader, []tree.Digest{slow}) }()
		synctest.Wait()
		go func() { second <- c.need(waiter, []tree.Digest{slow}) }()
		go func() { third <- c.need(t.Context(), []tree.Digest{slow}) }()
		synctest.Wait()
		leave()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who left: %v", err)
		}
		giveUp()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the reader: %v", err)
		}
		if err := <-third; err != nil || reads != 2 {
			t.Errorf("the one who stayed: %v, %d reads", err, reads)
		}
	})
}

// A layer that cannot be read is said to be why.
func TestLayerThatFails(t *testing.T) {
	t.Parallel()
	fault := errors.New("no route")
	c, slow, _ := coldImage(t, func(context.Context) error { return fault })
	for range 2 {
		if err := c.need(t.Context(), []tree.Digest{slow}); !errors.Is(err, fault) {
			t.Errorf("%v", err)
		}
	}
}
