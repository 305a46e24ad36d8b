package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/proxy/replicas/redistest"
)

// bucketName is the bucket that replicas share.
const bucketName = "strata"

// bucket is an S3 server with one bucket.
type bucket struct {
	endpoint string
	cmd      *exec.Cmd
}

// newBucket starts an S3 server that ends with the test.
func newBucket(tb testing.TB) *bucket {
	tb.Helper()
	if _, err := exec.LookPath("versitygw"); err != nil {
		tb.Skip("versitygw is not installed")
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := port.Addr().String()
	_ = port.Close()
	dir := tb.TempDir()
	if err := os.Mkdir(filepath.Join(dir, bucketName), 0o755); err != nil {
		tb.Fatal(err)
	}
	b := &bucket{endpoint: "http://" + addr}
	b.cmd = exec.Command("versitygw", "--port", addr, "--access", "test", "--secret", "test-secret", "posix", dir)
	if err := b.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
	})
	until(tb, "the S3 server", func() bool {
		r, err := http.Get(b.endpoint)
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil
	})
	return b
}

// yaml are the lines of a configuration.
func (b *bucket) yaml() string {
	return fmt.Sprintf("  s3:\n    bucket: %s\n    regionendpoint: %s\n    forcepathstyle: true\n    accesskey: test\n    secretkey: test-secret",
		bucketName, b.endpoint)
}

// fleet are replicas that share a bucket and a Redis.
type fleet struct {
	tb       testing.TB
	bucket   *bucket
	redis    *redistest.Server
	replicas []*proxy
}

func newFleet(tb testing.TB, u *upstream, n int, top string) *fleet {
	tb.Helper()
	f := &fleet{tb: tb, bucket: newBucket(tb), redis: redistest.Start(tb)}
	for range n {
		f.replicas = append(f.replicas, newProxy(tb, u, proxyOptions{
			storage: f.bucket.yaml(), top: "redis:\n  address: " + f.redis.Address + "\n" + top,
		}))
	}
	return f
}

// pull pulls a tag by so many clients at once through the replicas in turn, and returns what they got, which is one image.
func (f *fleet) pull(tag string, clients int) digest.Digest {
	f.tb.Helper()
	var mu sync.Mutex
	got := map[digest.Digest]int{}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			p := f.replicas[i%len(f.replicas)]
			raw, err := pullWhole(f.tb.Context(), p, tag)
			if err != nil {
				f.tb.Errorf("client %d: %v", i, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[digest.FromBytes(raw)]++
		})
	}
	wg.Wait()
	if len(got) != 1 {
		f.tb.Fatalf("clients got %d images: %v", len(got), got)
	}
	for d := range got {
		return d
	}
	return ""
}

// made counts the images that the replicas made themselves.
func (f *fleet) made() int {
	n := 0
	for _, p := range f.replicas {
		n += len(p.Log.Find(func(l programtest.Line) bool { return l["msg"] == "image rechunked" }))
	}
	return n
}

// pullWhole fetches an image's manifest and all that it names, as a client does that has nothing.
func pullWhole(ctx context.Context, p *proxy, tag string) ([]byte, error) {
	return fetchImage(ctx, p.image("os/image:"+tag))
}
