package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// machine makes two versions of an image: the delta of the second has some megabytes of new bytes, and files that are
// compressed again for a second.
func machine(tb testing.TB) [2]sourceImage {
	tb.Helper()
	need(tb, "xz")
	var out [2]sourceImage
	for v := range out {
		rng := rand.New(rand.NewPCG(11, 11))
		items := []treetest.Item{treetest.Dir("usr"), treetest.Dir("usr/lib")}
		for i := range 8 {
			b := make([]byte, 600_000)
			fill(rng, b)
			fill(rand.New(rand.NewPCG(uint64(v), uint64(i))), b[100_000:500_000])
			items = append(items, treetest.File(fmt.Sprintf("usr/lib/data%d", i), string(b)))
		}
		for i := range 2 {
			var text bytes.Buffer
			for line := range 30_000 {
				fmt.Fprintf(&text, "%d: symbol %x of section %d\n", line, rng.Uint32()>>12, line%31)
			}
			fmt.Fprintf(&text, "built as version %d", v)
			items = append(items, treetest.File(fmt.Sprintf("usr/lib/module%d.ko.xz", i), string(xz(tb, text.Bytes()))))
		}
		out[v] = sourceImage{
			layers: [][]byte{treetest.Gzip(tb, treetest.Tar(tb, items...))},
			labels: map[string]string{"containers.bootc": "1", "org.opencontainers.image.version": fmt.Sprint(v)},
		}
	}
	return out
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

// xz compresses as builds of kernels do.
func xz(tb testing.TB, plain []byte) []byte {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "xz", "--check=crc32", "--lzma2=dict=1MiB", "-T1", "-c")
	cmd.Stdin = bytes.NewReader(plain)
	out, err := cmd.Output()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// before are directories of a central that has both versions of machine, and of an edge that has the first. Nobody has asked
// for a delta.
type before struct {
	upstream      *upstream
	central, edge string
}

func newBefore(t *testing.T) before {
	t.Helper()
	u := newUpstream(t)
	for i, image := range machine(t) {
		u.push(fmt.Sprintf("os/image:v%d", i+1), image)
	}
	central := newProxy(t, u, proxyOptions{})
	digests(t, central, "v1", "v2")
	edge := newProxy(t, nil, proxyOptions{via: central.Clients, top: patient})
	pulled(t, central, edge, "v1")
	for _, p := range []*proxy{edge, central} {
		p.Terminate()
		p.Wait()
	}
	return before{u, central.dir, edge.dir}
}

// copied returns a copy of a directory.
func copied(tb testing.TB, dir string) string {
	tb.Helper()
	to := tb.TempDir()
	if out, err := exec.CommandContext(tb.Context(), "cp", "-a", dir+"/.", to).CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return to
}

// kills is how often TestEdgeKilled kills; STRATA_TEST_KILLS says otherwise.
func kills(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("STRATA_TEST_KILLS")
	if text == "" {
		return 8
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestEdgeKilled kills a central or an edge at some moment of a pull: while the delta is made, comes over the wire, is
// applied, or files are compressed again. Nothing half is stored, nothing is left of what was on its way, and the next pull
// gives the image.
func TestEdgeKilled(t *testing.T) {
	t.Parallel()
	from := newBefore(t)
	for n := range kills(t) {
		k := &kill{rng: rand.New(rand.NewPCG(uint64(n), 9)), victim: []string{"central", "edge"}[n%2]}
		stage := []string{"made", "sent", "applied", "wrapped"}[n/2%4]
		t.Run(fmt.Sprintf("%d the %s while it is %s", n, k.victim, stage), func(t *testing.T) {
			k.start(t, from)
			k.strike(t, k.moment(stage))
			k.mend(t)
		})
	}
}

// kill is one pull with a process that is killed.
type kill struct {
	rng           *rand.Rand
	victim        string
	central, edge *proxy
	between, out  *wire // central and edge; edge and host
	ended         bool  // the pull did before
}

func (k *kill) start(t *testing.T, from before) {
	t.Helper()
	k.central = newProxy(t, from.upstream, proxyOptions{dir: copied(t, from.central)})
	k.between = newWire(t, k.central.Clients)
	k.edge = newProxy(t, nil, proxyOptions{dir: copied(t, from.edge), via: k.between.address, top: patient})
	k.out = newWire(t, k.edge.Clients)
}

// moment returns what says that the moment has come.
func (k *kill) moment(stage string) func() bool {
	// The layer has some 5 MB, of which 3 MB are new; what is little more than a document says that it is on its way.
	pause, sent, passed := time.Duration(k.rng.Int64N(int64(time.Second))), 10_000+k.rng.Int64N(3_000_000),
		10_000+k.rng.Int64N(5_000_000)
	after := func(begun func() bool) func() bool {
		var since time.Time
		return func() bool {
			if since.IsZero() && begun() {
				since = time.Now()
			}
			return !since.IsZero() && time.Since(since) >= pause
		}
	}
	switch stage {
	case "made":
		return after(func() bool { return k.central.Metric("strata_deltas_running") > 0 })
	case "sent":
		return func() bool { return k.between.bytes.Load() > sent }
	case "applied":
		return func() bool { return k.out.bytes.Load() > passed }
	}
	return after(func() bool { return k.edge.Children() > 0 })
}

// strike pulls, and kills the victim when the moment has come or the pull has ended.
func (k *kill) strike(t *testing.T, reached func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := pullThrough(ctx, t, k.out.address+"/"+upstreamHost+"/os/image:v2")
		done <- err
	}()
	until(t, "the moment", func() bool { return len(done) > 0 || reached() })
	k.ended = len(done) > 0
	t.Logf("%d bytes from the central, %d to the host, %d programs run", k.between.bytes.Load(), k.out.bytes.Load(),
		k.edge.Children())
	if k.victim == "edge" {
		k.edge.Kill()
		cancel()
	} else {
		k.central.Kill()
	}
	t.Log("the pull:", <-done)
}

// mend starts the victim again, looks at what it left, and pulls.
func (k *kill) mend(t *testing.T) {
	t.Helper()
	again := k.central
	if k.victim == "edge" {
		again = k.edge
	}
	again.start()
	checkNoLeftovers(t, again)
	k.between.to.Store(k.central.Clients)
	checkBlobs(t, k.central)
	checkBlobs(t, k.edge)
	k.pull(t)
	if n := k.edge.Metric(`strata_edge_layers_total{how="delta",reason=""}`); k.victim == "edge" && !k.ended && n == 0 {
		t.Error("no layer came as a delta after the edge was killed")
	}
	checkBlobs(t, k.central)
	checkBlobs(t, k.edge)
}

// pull pulls through the edge: the next try gives the image.
func (k *kill) pull(t *testing.T) {
	t.Helper()
	got, err := pullThrough(t.Context(), t, k.edge.image("os/image:v2"))
	if err != nil {
		t.Fatal(err)
	}
	if want := rawManifest(t, k.central.image("os/image:v2")); string(got) != string(want) {
		t.Error("it is another image at the edge")
	}
}

// checkBlobs checks that what is stored is whole.
func checkBlobs(tb testing.TB, p *proxy) {
	tb.Helper()
	blobs := filepath.Join(p.dir, "data/v1/blobs/sha256")
	all := files(tb, blobs)
	if len(all) == 0 {
		tb.Errorf("nothing is stored in %s", blobs)
	}
	for _, path := range all {
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			continue // evicted meanwhile
		}
		if err != nil {
			tb.Fatal(err)
		}
		sum := digest.Canonical.Digester()
		_, err = io.Copy(sum.Hash(), f)
		_ = f.Close()
		if err != nil || sum.Digest().Encoded() != filepath.Base(path) {
			tb.Errorf("%s is half stored: %v", path, err)
		}
	}
}
