package rechunk_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// rules are options that leave the engine free.
var rules = rechunk.Options{MaxLayers: 64, MaxStale: 0.5, Format: layer.Zstd, Versions: 10}

// bench is an engine with the store that it writes to.
type bench struct {
	*rechunk.Engine
	store *rechunktest.MemoryStore
	work  string
	log   *logBuffer
}

func newBench(tb testing.TB, store *rechunktest.MemoryStore, parallel int) *bench {
	tb.Helper()
	b := &bench{store: store, work: tb.TempDir(), log: &logBuffer{}}
	b.Engine = rechunk.New(rechunk.Config{
		Store: store, Records: store, WorkDir: b.work, Parallel: parallel, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	return b
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) Has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

// rechunk makes an image that must succeed.
func (b *bench) rechunk(tb testing.TB, img *rechunktest.Image, lineage string, o rechunk.Options) *rechunk.Result {
	tb.Helper()
	r, err := b.Rechunk(tb.Context(), img.Request(lineage, o))
	if err != nil {
		tb.Fatalf("rechunk: %v", err)
	}
	return r
}

// version is the record of a result that is the newest of its lineage.
func (b *bench) version(tb testing.TB, lineage string, r *rechunk.Result) rechunk.Version {
	tb.Helper()
	versions, err := b.LineageOf(tb.Context(), lineage, r.Platform)
	if err != nil || len(versions) == 0 || versions[0].Digest != r.Digest {
		tb.Fatalf("%s is not the newest of %d versions: %v", r.Digest, len(versions), err)
	}
	return versions[0]
}

// serve makes an image and checks the contract on its bytes.
func (b *bench) serve(tb testing.TB, img *rechunktest.Image, o rechunk.Options) (rechunk.Version, *rechunktest.Served) {
	tb.Helper()
	v := b.version(tb, "test", b.rechunk(tb, img, "test", o))
	s, err := rechunktest.Check(b.store, v)
	if err != nil {
		tb.Fatal(err)
	}
	return v, s
}

// same compares trees; modification times only if asked to.
func same(tb testing.TB, want, got *tree.Tree, times bool) {
	tb.Helper()
	var opts cmp.Options
	if !times {
		opts = append(opts, cmpopts.IgnoreFields(tree.Entry{}, "Sec", "Nsec"))
	}
	if diff := cmp.Diff(want.Entries, got.Entries, opts); diff != "" {
		tb.Errorf("served tree is not the source's (-source +served):\n%s", diff)
	}
}

// reference flattens layers by other code than the engine's.
func reference(tb testing.TB, layers ...[]Item) *tree.Tree {
	tb.Helper()
	t, err := Reference(layers...)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
