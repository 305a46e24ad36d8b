package upkeep

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk"
)

// vast is a driver whose store has any number of blobs, which take no memory: they are the layers of lineages whose records
// it makes up when they are asked for. What is written goes to the driver below.
type vast struct {
	storagedriver.StorageDriver
	lineages, layers int // layers of each
}

// layer numbers all layers in the order of their digests.
func (v *vast) layer(i int) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, fmt.Sprintf("%016x%048x", uint64(i)*(1<<40), i))
}

// record makes up a lineage of one version.
func (v *vast) record(i int) []byte {
	l := rechunk.Lineage{Versions: []rechunk.Version{{Config: digest.FromString("config")}}}
	of := &l.Versions[0]
	of.Digest, of.Created = digest.FromString(fmt.Sprint("image ", i)), time.Now()
	for j := range v.layers {
		of.Layers = append(of.Layers, rechunk.VersionLayer{Digest: v.layer(i + j*v.lineages), Size: 1})
	}
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return b
}

const vastRecords = "/v1/records/lineage"

func (v *vast) path(i int) string {
	return fmt.Sprintf("%s/vast-%d_20linux_2famd64__key", vastRecords, i)
}

func (v *vast) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	rest, ok := strings.CutPrefix(path, vastRecords+"/vast-")
	if !ok {
		return v.StorageDriver.Reader(ctx, path, offset)
	}
	i, err := strconv.Atoi(rest[:strings.IndexByte(rest, '_')])
	if err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(string(v.record(i))[offset:])), nil
}

func (v *vast) GetContent(ctx context.Context, path string) ([]byte, error) {
	r, err := v.Reader(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (v *vast) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if strings.HasPrefix(path, vastRecords+"/vast-") {
		return fileAt(path, 1), nil
	}
	return v.StorageDriver.Stat(ctx, path)
}

func (v *vast) List(ctx context.Context, path string) ([]string, error) {
	if path == "/v1/records" {
		return []string{vastRecords}, nil
	}
	return v.StorageDriver.List(ctx, path)
}

// Walk tells of the blobs and the records one by one, as a bucket's listing does, and beside them of as many blobs that
// nothing needs.
func (v *vast) Walk(ctx context.Context, from string, fn storagedriver.WalkFn, o ...func(*storagedriver.WalkOptions)) error {
	switch from {
	case vastRecords:
		for i := range v.lineages {
			if err := fn(fileAt(v.path(i), 1)); err != nil {
				return err
			}
		}
		return nil
	case "/v1/blobs":
		for i := range v.lineages * v.layers {
			hex := v.layer(i).Encoded()
			if err := fn(fileAt("/v1/blobs/sha256/"+hex[:2]+"/"+hex, 1)); err != nil {
				return err
			}
		}
		return nil
	}
	return v.StorageDriver.Walk(ctx, from, fn, o...)
}

func fileAt(path string, size int64) storagedriver.FileInfo {
	return storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{
		Path: path, Size: size, ModTime: time.Now().Add(-time.Hour),
	}}
}

// peak is the largest heap in use that was seen since it was started, in bytes.
func peak(t testing.TB) (stop func() uint64) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	var most atomic.Uint64
	go func() {
		defer close(ended)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(done); <-ended; return most.Load() }
}

// A gc of many blobs holds little of them in memory. STRATA_TEST_BLOBS says how many; 300,000 by default, of which a map of
// digests would take more than the bound alone.
func TestMemoryIsBounded(t *testing.T) {
	blobs, layers := 300_000, 100
	if n := os.Getenv("STRATA_TEST_BLOBS"); n != "" {
		var err error
		if blobs, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	driver := &vast{inmemory.New(), blobs / layers, layers}
	chunks, err := chunkstore.New(driver, chunkstore.Options{CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	keeper := New(Options{Chunks: chunks, WorkDir: t.TempDir(), Lineages: noLineages{}})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, began := peak(t), time.Now()
	r, err := keeper.GC(t.Context(), GCOptions{})
	most := stop()
	if err != nil || r.Kept.Objects != int64(blobs) || r.Kinds[KindServed].Objects != int64(blobs) ||
		r.Waiting.Objects != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	grown := (most - before.HeapInuse) >> 20
	t.Logf("%d blobs: the heap grew by %d MiB at most, %.1f s", blobs, grown, time.Since(began).Seconds())
	if grown > 64 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
}

type noLineages struct{}

func (noLineages) TrimLineage(context.Context, string, func(int, *rechunk.Version) bool) (bool, error) {
	return false, nil
}

var _ Lineages = noLineages{}

// A sorted run of the oldest content never holds more than it may.
func TestOldest(t *testing.T) {
	t.Parallel()
	var o oldest
	const n = maxEvicted + 5000
	for i := range n {
		at := (i * 7919) % n // all of them, in no order
		o.add(chunkstore.Info{Digest: numbered(uint64(at)).digest(""), ModTime: time.Unix(int64(at), 0)})
	}
	got := o.sorted()
	if len(got) != maxEvicted || got[0].ModTime.Unix() != 0 || got[len(got)-1].ModTime.Unix() != maxEvicted-1 {
		t.Errorf("%d objects, from %v to %v", len(got), got[0].ModTime, got[len(got)-1].ModTime)
	}
}
