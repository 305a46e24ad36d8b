package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// newPartialPodman is a podman that fetches of zstd:chunked layers what it lacks, by ranges. Debian 12's cannot.
func newPartialPodman(tb testing.TB) *podman {
	tb.Helper()
	program := os.Getenv("STRATA_TEST_PODMAN")
	if program == "" {
		tb.Skip("STRATA_TEST_PODMAN is not set: .ci/clients sets up a podman that pulls in part")
	}
	if storageDriver(tb) != "overlay" {
		tb.Skip("podman pulls in part with the driver overlay only, which does not work here")
	}
	p := newPodman(tb)
	p.program = program
	conf := filepath.Join(p.dir, "storage.conf")
	text, err := os.ReadFile(conf)
	if err == nil {
		err = os.WriteFile(conf, append(text, "[storage.options.pull_options]\nenable_partial_images = \"true\"\n"...),
			0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// export unpacks what a container of an image has, for a podman that mounts in a namespace of its own.
func (p *podman) export(image string) string {
	p.tb.Helper()
	id := strings.TrimSpace(command(p.tb, p.env, p.program, p.args("create", image, "/none")...))
	archive, dir := filepath.Join(p.tb.TempDir(), "container.tar"), p.tb.TempDir()
	command(p.tb, p.env, p.program, p.args("export", "--output", archive, id)...)
	command(p.tb, nil, "tar", "--extract", "--file", archive, "--directory", dir, "--numeric-owner", "--same-permissions",
		"--xattrs", "--xattrs-include=*")
	return dir
}

// ranges counts the answers of blobs in part.
func (p *proxy) ranges() int {
	return len(p.Log.Find(func(l programtest.Line) bool {
		return l["msg"] == "request" && l["route"] == "blob" && l["status"] == float64(http.StatusPartialContent)
	}))
}

// All clients take images of zstd:chunked layers, whatever they know of them, and get the source's files.
func TestZstdChunked(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{rule: `format: "zstd:chunked"`})
	var last ocispec.Manifest
	for _, tag := range []string{"v1", "v2", "v3"} {
		last = manifest(t, p.image("os/image:"+tag))
		for _, l := range last.Layers {
			if _, err := toc.Find(l.Annotations); err != nil || l.MediaType != ocispec.MediaTypeImageLayerZstd {
				t.Errorf("%s: layer %s of type %s: %v", tag, l.Digest, l.MediaType, err)
			}
		}
	}
	t.Run("skopeo and umoci", func(t *testing.T) {
		for _, tag := range []string{"v1", "v3"} {
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), unpack(t, p.image("os/image:"+tag)),
				sameness{times: tag == "v1"})
		}
	})
	t.Run("podman", func(t *testing.T) {
		m := newPodman(t)
		for _, tag := range []string{"v1", "v2"} {
			m.pull(p.image("os/image:" + tag))
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), m.mount(p.image("os/image:"+tag)), sameness{anyTop: true})
		}
	})
	t.Run("podman in part", func(t *testing.T) {
		m := newPartialPodman(t)
		for _, tag := range []string{"v1", "v2", "v3"} {
			before := p.ranges()
			m.pull(p.image("os/image:" + tag))
			if p.ranges() == before {
				t.Errorf("%s: no ranges", tag)
			}
			sameTree(t, unpack(t, u.host()+"/os/image:"+tag), m.export(p.image("os/image:"+tag)), sameness{anyTop: true})
		}
	})
	t.Run("bootc", func(t *testing.T) {
		b := newBootc(t)
		for _, tag := range []string{"v1", "v2"} {
			sameFiles(t, unpack(t, u.host()+"/os/image:"+tag), b.upgrade(p.image("os/image:"+tag)))
		}
	})
}

// growing is an image of one large file, of which versions differ in little, and of a small one.
func growing(tb testing.TB, revision int) []treetest.Item {
	tb.Helper()
	large := []byte(random("large", 1, 16<<20))
	large[8<<20] = byte(revision)
	items := []treetest.Item{treetest.Dir("."), treetest.Dir("usr"), treetest.Dir("usr/lib"),
		treetest.File("usr/lib/large", string(large)), treetest.File("usr/lib/small", random("small", revision, 1000))}
	for i := range items {
		items[i] = items[i].WithTime(version1().built)
	}
	return items
}

// pushGrowing puts both versions into an upstream, as gzip.
func pushGrowing(tb testing.TB) *upstream {
	tb.Helper()
	u := newUpstream(tb)
	for revision, tag := range map[int]string{1: "v1", 2: "v2"} {
		u.push("os/image:"+tag, sourceImage{
			layers: [][]byte{treetest.Gzip(tb, treetest.Tar(tb, growing(tb, revision)...))},
			labels: map[string]string{"containers.bootc": "1"},
		})
	}
	return u
}

// Of a file that changed in one place podman fetches the piece around that, and not the layer.
func TestPodmanFetchesPieces(t *testing.T) {
	t.Parallel()
	m := newPartialPodman(t)
	u := pushGrowing(t)
	p := newProxy(t, u, proxyOptions{rule: `format: "zstd:chunked"`})
	m.pull(p.image("os/image:v1"))
	had, next := manifest(t, p.image("os/image:v1")), manifest(t, p.image("os/image:v2"))
	before := p.blobBytes()
	m.pull(p.image("os/image:v2"))
	got, whole := p.blobBytes()-before, layersSize(next, had)
	t.Logf("podman fetches %d bytes for the update; the new layers have %d", got, whole)
	if got > whole/2 {
		t.Errorf("podman fetches %d bytes for the update; the new layers have %d", got, whole)
	}
	sameTree(t, unpack(t, u.host()+"/os/image:v2"), onlyLayer(m.mount(p.image("os/image:v2"))), sameness{anyTop: true})
}

// crumbled is an image of many tiny files beside a large one, of which versions differ in little.
func crumbled(tb testing.TB, revision int) []treetest.Item {
	tb.Helper()
	items := growing(tb, revision)
	built := version1().built
	items = append(items, treetest.Dir("usr/share").WithTime(built), treetest.Dir("usr/share/crumbs").WithTime(built))
	for i := range 400 {
		body := fmt.Sprintf("crumb %d", i)
		if i < revision {
			body += " again"
		}
		items = append(items, treetest.File(fmt.Sprintf("usr/share/crumbs/%d", i), body).WithTime(built).WithXattr(
			"user.component", "crumbs"))
	}
	return items
}

// An image whose many tiny files are in layers without a table, beside those that have one, comes to podman whole where it
// must and in part where it can, and its layers are kept.
func TestPodmanTakesLayersWithoutTables(t *testing.T) {
	t.Parallel()
	m := newPartialPodman(t)
	u := newUpstream(t)
	for revision, tag := range map[int]string{1: "v1", 2: "v2"} {
		u.push("os/image:"+tag, sourceImage{
			layers: [][]byte{treetest.Gzip(t, treetest.Tar(t, crumbled(t, revision)...))},
			labels: map[string]string{"containers.bootc": "1"},
		})
	}
	p := newProxy(t, u, proxyOptions{rule: `format: "zstd:chunked"`})
	m.pull(p.image("os/image:v1"))
	had, next := manifest(t, p.image("os/image:v1")), manifest(t, p.image("os/image:v2"))
	tables := 0
	for _, l := range had.Layers {
		if toc.Told(l.Annotations) {
			tables++
		} else if !slices.ContainsFunc(next.Layers, func(o ocispec.Descriptor) bool { return o.Digest == l.Digest }) {
			t.Errorf("layer %s is not kept", l.Digest)
		}
	}
	if tables == 0 || tables == len(had.Layers) {
		t.Fatalf("%d of %d layers have tables", tables, len(had.Layers))
	}
	before, ranges := p.blobBytes(), p.ranges()
	m.pull(p.image("os/image:v2"))
	got, whole := p.blobBytes()-before, layersSize(next, had)
	if got > whole/2 || p.ranges() == ranges {
		t.Errorf("podman fetches %d bytes for the update in %d ranges; the new layers have %d", got,
			p.ranges()-ranges, whole)
	}
	for _, tag := range []string{"v1", "v2"} {
		sameTree(t, unpack(t, u.host()+"/os/image:"+tag), m.export(p.image("os/image:"+tag)), sameness{anyTop: true})
	}
}

// onlyLayer is where the files of an image of one layer are that a podman in a namespace of its own has mounted.
func onlyLayer(mounted string) string { return filepath.Join(filepath.Dir(mounted), "diff") }

// pushChunked puts an image of one zstd:chunked layer into an upstream.
func (u *upstream) pushChunked(image string, items []treetest.Item) document {
	u.tb.Helper()
	stream := treetest.Tar(u.tb, items...)
	var blob bytes.Buffer
	made, err := layer.Compress(u.tb.Context(), &blob, bytes.NewReader(stream), layer.Chunked)
	if err != nil {
		u.tb.Fatal(err)
	}
	return u.pushOne(image, ocispec.MediaTypeImageLayerZstd, blob.Bytes(), digest.FromBytes(stream), made.Annotations)
}

// pushOne puts an image of one layer into an upstream, as it is.
func (u *upstream) pushOne(image, mediaType string, blob []byte, diffID digest.Digest,
	annotations map[string]string) document {
	u.tb.Helper()
	repository := u.reference(image).Context().RepositoryStr()
	l := u.blob(repository, mediaType, blob)
	l.Annotations = annotations
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History:  []ocispec.History{{CreatedBy: "test"}},
	}
	m := marshal(u.tb, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: u.blob(repository, ocispec.MediaTypeImageConfig, marshal(u.tb, "", config).raw),
		Layers: []ocispec.Descriptor{l},
	})
	u.put(image, m)
	return m
}

// single counts what an upstream is asked for of blobs, or of one, and answers several ranges at once as GHCR does.
type single struct {
	of                     digest.Digest // the only blob that counts; all if it is empty
	whole, ranged, several atomic.Int64
}

func (s *single) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked := r.Header.Get("Range"); {
		case r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/"+s.of.String()):
		case strings.Contains(asked, ","):
			s.several.Add(1)
			w.WriteHeader(http.StatusNotImplemented)
			return
		case asked != "":
			s.ranged.Add(1)
		default:
			s.whole.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// An image that is zstd:chunked at its registry comes as it is, and podman updates to it in part through the proxy, of a
// layer of which nothing is here and from a registry that takes one range at a time: it is asked for the places that podman
// wants, and not for the layer.
func TestChunkedSourcePassesThrough(t *testing.T) {
	t.Parallel()
	m := newPartialPodman(t)
	u := newUpstream(t)
	u.pushChunked("os/image:v1", growing(t, 1))
	want := u.pushChunked("os/image:v2", growing(t, 2))
	p := newProxy(t, u, proxyOptions{rule: "rechunk: never"})
	m.pull(p.image("os/image:v1"))
	if got := rawManifest(t, p.image("os/image:v2")); !bytes.Equal(got, want.raw) {
		t.Errorf("the manifest is not the upstream's: %s", got)
	}
	var asked single
	u.setGate(asked.gate)
	before := p.blobBytes()
	m.pull(p.image("os/image:v2"))
	next := manifest(t, p.image("os/image:v2"))
	// The config is a blob, too.
	whole, ranged, several := asked.whole.Load(), asked.ranged.Load(), asked.several.Load()
	t.Logf("podman fetches %d bytes of a layer of %d; the upstream is asked for %d parts", p.blobBytes()-before,
		next.Layers[0].Size, ranged)
	if whole != 1 || ranged == 0 || ranged > 4 || several != 0 {
		t.Errorf("the upstream is asked for %d blobs, %d ranges, and %d times for several", whole, ranged, several)
	}
	if got := p.blobBytes() - before; got > next.Layers[0].Size/8 {
		t.Errorf("podman fetches %d bytes of a layer of %d", got, next.Layers[0].Size)
	}
	mounted := onlyLayer(m.mount(p.image("os/image:v2")))
	for _, item := range growing(t, 2) {
		if item.Body != "" && readFile(t, filepath.Join(mounted, item.Name)) != item.Body {
			t.Errorf("%s has other contents", item.Name)
		}
	}
}
