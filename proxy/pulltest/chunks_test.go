package pulltest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// withChunks serves images as chunks, small ones.
func withChunks(h *harness) {
	h.casync = config.Casync{Serve: true, ChunkSizes: []string{"1:4:16", "2:8:32"}, Keep: 1 << 30}
}

// chunky is an image with enough in it for some chunks; two versions differ in a small part.
func chunky(t *testing.T, version string) *testImage {
	t.Helper()
	noise := func(seed string, size int) string {
		b := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte([]byte((seed + strings.Repeat("-", 32))[:32]))).Read(b)
		return string(b)
	}
	return bootable(t, version).with(func(i *testImage) {
		i.layers = append(i.layers, layerOf(t, treetest.File("usr/big", noise("big", 600_000))),
			layerOf(t, treetest.File("usr/own", noise(version, 90_000))))
	})
}

// fetch asks for a path below the repository's chunks.
func fetch(t *testing.T, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	method := http.MethodGet
	if rest, ok := strings.CutPrefix(url, "HEAD "); ok {
		method, url = http.MethodHead, rest
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer, b
}

// index asks for one and reads it.
func indexAt(t *testing.T, url string) *casync.Index {
	t.Helper()
	answer, b := fetch(t, url)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, answer.Status, b)
	}
	x, err := casync.ReadIndex(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// archiveAt puts an image together by its chunks.
func archiveAt(t *testing.T, store string, x *casync.Index) []byte {
	t.Helper()
	d, err := casync.NewDecoder(x.Sizes)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out []byte
	for i, c := range x.Chunks {
		answer, b := fetch(t, store+"/"+casync.Path(c.ID, i%2 == 0))
		if i%2 == 0 && answer.StatusCode == http.StatusOK {
			b, err = d.Decode(nil, c.ID, b)
		}
		if answer.StatusCode != http.StatusOK || err != nil || casync.Sum(b) != c.ID {
			t.Fatalf("%s: %s, %v: %.200s", c.ID, answer.Status, err, b)
		}
		out = append(out, b...)
	}
	return out
}

// An index stands for the chunks that cutting the whole archive gives; chunks of layers that stay are those of before.
func TestChunks(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	first := indexAt(t, at+"/stable.caibx")
	b := archiveAt(t, at+"/store", first)
	var want []casync.Chunk
	if err := casync.Cut(bytes.NewReader(b), first.Sizes, func(content []byte) error {
		want = append(want, casync.Chunk{ID: casync.Sum(content), Size: len(content)})
		return nil
	}); err != nil || len(want) != len(first.Chunks) || want[len(want)/2] != first.Chunks[len(want)/2] {
		t.Errorf("%d chunks, cutting gives %d, %v", len(first.Chunks), len(want), err)
	}
	if other := indexAt(t, at+"/stable.caibx?chunk-size=2:8:32"); other.Length() != first.Length() ||
		other.Sizes.Avg != 8<<10 || !bytes.Equal(archiveAt(t, at+"/default.castr", other), b) {
		t.Errorf("%+v", other.Sizes)
	}
	h.up.tag("next", chunky(t, "two").push(t, h.up))
	known := map[casync.ID]bool{}
	for _, c := range first.Chunks {
		known[c.ID] = true
	}
	second, news := indexAt(t, at+"/next.caibx"), 0
	for _, c := range second.Chunks {
		if !known[c.ID] {
			news += c.Size
		}
	}
	if news == 0 || news > 300_000 {
		t.Errorf("%d bytes are new", news)
	}
	h.restart()
	base, _ = h.serve(t)
	at = base + "/casync/" + testRepo.String()
	archiveAt(t, at+"/store", first)
	archiveAt(t, at+"/store", second)
}

// What HTTP has for content is there for chunks and indexes.
func TestChunksOverHTTP(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	m := h.pull("stable", registry.Rechunked)
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	x := indexAt(t, at+"/"+m.Digest.String()+".caibx")
	chunk := at + "/store/" + casync.Path(x.Chunks[1].ID, true)
	plain := at + "/store/" + casync.Path(x.Chunks[1].ID, false)
	for _, url := range []string{at + "/stable.caibx", at + "/" + m.Digest.String() + ".caibx", chunk, plain} {
		answer, b := fetch(t, url)
		head, none := fetch(t, "HEAD "+url)
		if len(none) != 0 || head.StatusCode != http.StatusOK || head.ContentLength != int64(len(b)) ||
			head.Header.Get("Etag") != answer.Header.Get("Etag") || answer.Header.Get("Etag") == "" {
			t.Errorf("HEAD %s: %s %v", url, head.Status, head.Header)
		}
		if had, _ := fetch(t, url, "If-None-Match", answer.Header.Get("Etag")); had.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %s", url, had.Status)
		}
		if part, some := fetch(t, url, "Range", "bytes=2-5"); part.StatusCode != http.StatusPartialContent ||
			!bytes.Equal(some, b[2:6]) {
			t.Errorf("%s: %s", url, part.Status)
		}
		if answer.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: an encoding", url)
		}
	}
	unknown := casync.Path(casync.Sum([]byte("unknown")), true)
	for path, want := range map[string]string{
		"/none.caibx": "404 MANIFEST_UNKNOWN", "/store/" + unknown: "404 CHUNK_UNKNOWN",
		"/store/0000/" + unknown[5:]: "404 CHUNK_UNKNOWN", "/stable.caibx?chunk-size=1:2:3": "400 UNSUPPORTED",
		"/stable.caibx?chunk-size=x&chunk-size=y": "400 UNSUPPORTED", "/sha256:0.caibx": "400 DIGEST_INVALID",
		"/stable": "404 UNSUPPORTED", "/store/x": "404 UNSUPPORTED",
		"/stable.caibx?chunk-size=": "400 UNSUPPORTED", "/stable.caibx?chunk-size=16": "400 UNSUPPORTED",
		"/stable.caibx?platform=garbage": "400 UNSUPPORTED", "/stable.caibx?platform=": "400 UNSUPPORTED",
		"/stable.caibx?platform=Linux/AMD64":                      "400 UNSUPPORTED",
		"/stable.caibx?platform=linux/amd64/v1/x":                 "400 UNSUPPORTED",
		"/stable.caibx?platform=linux/amd64&platform=linux/amd64": "400 UNSUPPORTED",
		"/stable.caibx?chunksize=1:4:16":                          "400 UNSUPPORTED",
		"/store/" + unknown + "?platform=linux/amd64":             "400 UNSUPPORTED",
	} {
		answer, b := fetch(t, at+path)
		status, code, _ := strings.Cut(want, " ")
		if !strings.HasPrefix(answer.Status, status) || !strings.Contains(string(b), `"`+code+`"`) {
			t.Errorf("%s: %s: %s", path, answer.Status, b)
		}
	}
	for _, query := range []string{"?platform=linux/amd64", "?chunk-size=2:8:32&platform=linux/arm64/v8",
		"?ns=" + testRepo.Host()} {
		if answer, b := fetch(t, at+"/stable.caibx"+query); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: %s", query, answer.Status, b)
		}
	}
	h.casync.Serve = false
	for _, url := range []string{at + "/stable.caibx", chunk} {
		if answer, _ := fetch(t, url); answer.StatusCode != http.StatusNotFound {
			t.Errorf("off: %s", answer.Status)
		}
	}
}

// A chunk reveals content: who may not have the image, by its repository, gets neither the index nor a chunk.
func TestChunksAreProven(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.only(testRepo)
	h.ruled.Store(true)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	base, _ := h.serve(t)
	mine, other := base+"/casync/"+testRepo.String(), base+"/casync/"+otherRepo.String()
	x := indexAt(t, mine+"/stable.caibx")
	archiveAt(t, mine+"/store", x)
	m := h.pull("stable", registry.Rechunked)
	if answer, _ := fetch(t, other+"/"+m.Digest.String()+".caibx"); answer.StatusCode != http.StatusNotFound &&
		answer.StatusCode != http.StatusForbidden {
		t.Errorf("another repository's index: %s", answer.Status)
	}
	for _, c := range x.Chunks {
		for _, packed := range []bool{true, false} {
			if answer, _ := fetch(t, other+"/store/"+casync.Path(c.ID, packed)); answer.StatusCode != http.StatusNotFound {
				t.Errorf("another repository's chunk: %s", answer.Status)
			}
		}
	}
}

// Chunks go with their image: with a key that is withdrawn they are refused at once, and given again when it is put back.
// The proxy's clock stands still meanwhile, so that nothing has time to be forgotten.
func TestChunksOfWithdrawnKeys(t *testing.T) {
	t.Parallel()
	before, after := newSigner(t), newSigner(t)
	h := newHarness(t, withChunks, verifying(before.file))
	src := chunky(t, "one").push(t, h.up)
	before.sign(t, h.up, src)
	h.up.tag("stable", src)
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	x := indexAt(t, at+"/stable.caibx")
	path := at + "/store/" + casync.Path(x.Chunks[0].ID, true)
	given, _ := fetch(t, path)
	for _, c := range []struct {
		keys []string
		want int
	}{
		{[]string{before.file}, http.StatusOK},
		{[]string{after.file}, http.StatusForbidden},
		{[]string{before.file, after.file}, http.StatusOK},
		{[]string{after.file}, http.StatusForbidden},
	} {
		h.rule.Verify.Keys = c.keys
		for _, url := range []string{path, "HEAD " + path, at + "/store/" + casync.Path(x.Chunks[1].ID, false)} {
			if answer, _ := fetch(t, url); answer.StatusCode != c.want {
				t.Errorf("%s by %v: %s, not %d", url, c.keys, answer.Status, c.want)
			}
		}
		if answer, _ := fetch(t, path, "If-None-Match", given.Header.Get("ETag")); c.want == http.StatusForbidden &&
			answer.StatusCode != c.want {
			t.Errorf("who has it: %s", answer.Status)
		}
	}
}

// A layer is cut once, however many ask.
func TestChunksOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	h.pull("stable", registry.Rechunked)
	base, _ := h.serve(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if answer, _ := fetch(t, base+"/casync/"+testRepo.String()+"/stable.caibx"); answer.StatusCode != http.StatusOK {
				t.Error(answer.Status)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(h.log.String(), "image was cut into chunks"); n != 1 {
		t.Errorf("it was cut %d times", n)
	}
}

// What was evicted or has rotted is made again for who asks for it.
func TestChunksAreMadeAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	x := indexAt(t, at+"/stable.caibx")
	want := archiveAt(t, at+"/store", x)
	var all []digest.Digest
	add := func(l catalog.ChunkList) {
		for i := range l.Len() {
			all = append(all, l.At(i).Packed)
		}
	}
	if err := h.Records.LayerChunks.Each(t.Context(), catalog.Prefix[catalog.LayerChunksKey]{},
		func(_ catalog.LayerChunksKey, v *catalog.LayerChunks) error { add(v.Chunks); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.Records.ChunkIndexes.Each(t.Context(), catalog.Prefix[catalog.ChunkIndexKey]{},
		func(_ catalog.ChunkIndexKey, v *catalog.ChunkIndex) error {
			for _, r := range v.Runs {
				add(r.Own)
			}
			return nil
		}); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if err := h.chunks.Delete(t.Context(), d); err != nil && !errors.Is(err, chunkstore.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archiveAt(t, at+"/store", x), want) {
		t.Error("evicted: another archive")
	}
	for _, d := range []digest.Digest{all[len(all)/2], all[len(all)-1]} {
		h.rot(d)
		if !bytes.Equal(archiveAt(t, at+"/store", x), want) {
			t.Error("rotten: another archive")
		}
	}
}

// rot changes a byte of stored content.
func (h *harness) rot(d digest.Digest) {
	h.t.Helper()
	path := "/v1/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded()
	b, err := h.driver.GetContent(h.t.Context(), path)
	if err == nil {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		err = h.driver.PutContent(h.t.Context(), path, b)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// No more stays than the configuration says.
func TestChunksThatAreTooMuch(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.casync.Keep = 900_000
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	for _, version := range []string{"one", "two"} {
		h.up.tag(version, chunky(t, version).push(t, h.up))
		h.pull(version, registry.Rechunked)
		indexAt(t, at+"/"+version+".caibx")
		indexAt(t, at+"/"+version+".caibx?chunk-size=2:8:32")
	}
	count := func() (n int) {
		err := h.Records.ChunkIndexes.List(t.Context(), catalog.Prefix[catalog.ChunkIndexKey]{},
			func(catalog.ChunkIndexKey, time.Time) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for count() > 2 {
		time.Sleep(5 * time.Millisecond)
	}
	// What had to go is made again for who asks.
	archiveAt(t, at+"/store", indexAt(t, at+"/one.caibx"))
}

// Real clients extract through the proxy, with the version before as a seed.
func TestChunkClients(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks)
	h.up.tag("one", chunky(t, "one").push(t, h.up))
	h.up.tag("two", chunky(t, "two").push(t, h.up))
	for _, tag := range []string{"one", "two"} {
		if _, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(tag)); err != nil {
			t.Fatal(err)
		}
	}
	base, _ := h.serve(t)
	at := base + "/casync/" + testRepo.String()
	want := archiveAt(t, at+"/store", indexAt(t, at+"/two.caibx"))
	_, index := fetch(t, at+"/one.caibx")
	for _, program := range []string{"casync", "desync"} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("%s is not installed", program)
			}
			dir := t.TempDir()
			run := func(name string, args ...string) {
				t.Helper()
				if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
					t.Fatalf("%s %v: %v: %s", name, args, err, out)
				}
			}
			had, made := filepath.Join(dir, "old"), filepath.Join(dir, "new")
			if err := os.WriteFile(had+".caibx", index, 0o600); err != nil {
				t.Fatal(err)
			}
			seed := map[string]string{"casync": had, "desync": had + ".caibx"}[program]
			run(program, "extract", "--store="+at+"/store", at+"/one.caibx", had)
			run(program, "extract", "--store="+at+"/store", "--seed="+seed, at+"/two.caibx", made)
			if got, err := os.ReadFile(made); err != nil || !bytes.Equal(got, want) {
				t.Errorf("another archive, %v", err)
			}
			if program == "casync" { // which finds the store beside the index
				run(program, "extract", at+"/two.caibx", made+"2")
			}
			if _, err := exec.LookPath("skopeo"); err == nil {
				run("skopeo", "copy", "--insecure-policy", "oci-archive:"+made, "dir:"+filepath.Join(dir, "dir"))
			}
		})
	}
}
