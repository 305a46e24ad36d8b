package e2e

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/programtest"
)

// Replicas on S3 send clients of casync to the bucket for each chunk, by signed URLs, whichever of them made the chunks; the
// bucket gives what the index says. casync and desync extract the image through both replicas and the redirects, and it is
// an archive that skopeo takes.
func TestChunksOnS3(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	f := newFleet(t, u, 2, "redirect: true\ncasync:\n  serve: true\n")
	at := func(replica int, path string) string {
		return "http://" + f.replicas[replica].Clients + "/casync/" + upstreamHost + "/os/image/" + path
	}
	index := chunkIndex(t, at(0, "v1.caibx"))
	if other := chunkIndex(t, at(1, "v1.caibx")); !bytes.Equal(other, index) {
		t.Fatal("two replicas have two indexes")
	}
	if n := f.replicas[1].Log.Find(cut); len(n) > 0 {
		t.Errorf("the second replica cut the image again: %v", n)
	}
	x, err := casync.ReadIndex(bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	d, err := casync.NewDecoder(x.Sizes)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for n, c := range x.Chunks {
		packed := fromBucket(t, f.bucket, at(n%2, "store/"+casync.Path(c.ID, true)))
		if plain, err := d.Decode(nil, c.ID, packed); err != nil || casync.Sum(plain) != c.ID {
			t.Fatalf("the bucket's chunk %d is another: %v", n, err)
		}
	}
	for _, program := range []string{"casync", "desync"} {
		t.Run(program, func(t *testing.T) {
			need(t, program, "skopeo")
			archive := filepath.Join(t.TempDir(), "image")
			command(t, nil, program, "extract", "--store="+at(1, "store"), at(0, "v1.caibx"), archive)
			command(t, nil, "skopeo", "copy", "--insecure-policy", "oci-archive:"+archive, "dir:"+t.TempDir())
		})
	}
}

// cut finds the lines about images that were cut.
func cut(l programtest.Line) bool { return l["msg"] == "image was cut into chunks" }

// chunkIndex fetches an index.
func chunkIndex(t *testing.T, url string) []byte {
	t.Helper()
	r, b := httpGet(t, http.DefaultClient, url)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, r.Status, b)
	}
	return b
}

// fromBucket fetches a chunk where a replica says that it is, which is in the bucket.
func fromBucket(t *testing.T, b *bucket, url string) []byte {
	t.Helper()
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, _ := httpGet(t, stay, url)
	to := r.Header.Get("Location")
	if r.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(to, b.endpoint+"/"+bucketName+"/") {
		t.Fatalf("%s: %s to %q", url, r.Status, to)
	}
	r, chunk := httpGet(t, stay, to)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", to, r.Status, chunk)
	}
	return chunk
}

func httpGet(t *testing.T, client *http.Client, url string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}
