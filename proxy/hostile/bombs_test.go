package hostile

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// bomb is an image that is small on the wire and large for whoever reads it.
type bomb struct {
	name   string
	layers func(t *testing.T, scale int) []layer
	// harmless bombs may be rechunked after all, as long as the bounds hold.
	harmless bool
}

// zipped streams a layer into a compressor that makes the least of it. scale is 1 at the program's limits and more where
// tests are short.
func zipped(t *testing.T, write func(w io.Writer) error) layer {
	t.Helper()
	var blob bytes.Buffer
	z, err := zstd.NewWriter(&blob, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	sum := digest.Canonical.Digester()
	if err := write(io.MultiWriter(z, sum.Hash())); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return layer{ocispec.MediaTypeImageLayerZstd, blob.Bytes(), sum.Digest()}
}

// archive is zipped for what a tar writer is given.
func archive(t *testing.T, write func(w *tar.Writer) error) layer {
	t.Helper()
	return zipped(t, func(out io.Writer) error {
		w := tar.NewWriter(out)
		if err := write(w); err != nil {
			return err
		}
		return w.Close()
	})
}

// one is a layer with a file whose content repeats a text, and what else is given.
func one(t *testing.T, name, head, text string, times int, before ...treetest.Item) layer {
	t.Helper()
	return archive(t, func(w *tar.Writer) error {
		for _, i := range before {
			if err := w.WriteHeader(&i.Header); err != nil {
				return err
			}
			if _, err := io.WriteString(w, i.Body); err != nil {
				return err
			}
		}
		size := int64(len(head) + len(text)*times)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, head); err != nil {
			return err
		}
		block := strings.Repeat(text, 1000)
		for ; times >= 1000; times -= 1000 {
			if _, err := io.WriteString(w, block); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, strings.Repeat(text, times))
		return err
	})
}

func bombs() []bomb {
	return []bomb{
		{"names of an apk package", func(t *testing.T, scale int) []layer {
			return []layer{one(t, "lib/apk/db/installed", "P:a\nV:1\nF:usr\n", "R:a\n", 16_000_000/scale)}
		}, true},
		{"names of a dpkg package", func(t *testing.T, scale int) []layer {
			return []layer{one(t, "var/lib/dpkg/info/a.list", "", "/usr/a\n", 16_000_000/scale,
				treetest.File("var/lib/dpkg/status",
					"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"))}
		}, true},
		{"packages of dpkg", func(t *testing.T, scale int) []layer {
			return []layer{one(t, "var/lib/dpkg/status", "",
				"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n", 1_000_000/scale)}
		}, true},
		{"SELinux patterns that repeat", func(t *testing.T, scale int) []layer {
			return []layer{selinux(t, "/(((a{1,1000}){1,1000}){1,1000})x.*  system_u:object_r:a_t:s0\n", 20_000/scale)}
		}, true},
		{"SELinux patterns that are many", func(t *testing.T, scale int) []layer {
			return []layer{selinux(t, "/.*[abc].*[def].*[ghi].*x  system_u:object_r:a_t:s0\n", 2_000_000/scale)}
		}, true},
		{"a sparse file", func(t *testing.T, _ int) []layer { return []layer{sparse(t, 1<<40)} }, false},
		{"files of zeros", func(t *testing.T, scale int) []layer {
			return []layer{zeros(t, 40/(scale*scale)+2, 1<<30/int64(scale))}
		}, true},
		{"entries of one layer", func(t *testing.T, scale int) []layer {
			return []layer{entries(t, "e", 4_000_000+4_000_000/scale)}
		}, false},
		{"entries of many layers", func(t *testing.T, scale int) []layer {
			var out []layer
			for i := range 200 / scale {
				out = append(out, entries(t, fmt.Sprint("l", i), 100_000))
			}
			return out
		}, false},
		{"attributes of many entries", func(t *testing.T, scale int) []layer {
			return []layer{attributes(t, 200_000/scale, 32<<10, 0)}
		}, false},
		{"large attributes", func(t *testing.T, _ int) []layer {
			return []layer{attributes(t, 130, 900<<10, 0)}
		}, true},
		{"long paths", func(t *testing.T, scale int) []layer {
			return []layer{longPaths(t, 800_000/scale)}
		}, false},
		{"chains of symbolic links", func(t *testing.T, scale int) []layer { return links(t, 64/scale, 2000) }, true},
		{"an attribute object of many files",
			func(t *testing.T, scale int) []layer { return []layer{objects(t, 1_000_000/scale)} }, true},
		{"members of gzip", func(t *testing.T, scale int) []layer { return []layer{emptyMembers(4_000_000 / scale)} }, true},
	}
}

// selinux is a policy whose patterns repeat a line.
func selinux(t *testing.T, line string, times int) layer {
	t.Helper()
	const dir = "etc/selinux/targeted/contexts/files/file_contexts"
	return one(t, dir, "", line, times, treetest.File("etc/selinux/config", "SELINUXTYPE=targeted\nSELINUX=enforcing\n"))
}

// sparse is a file of the old GNU format that says it is large and holds a byte.
func sparse(t *testing.T, size int64) layer {
	t.Helper()
	return zipped(t, func(w io.Writer) error {
		var h [512]byte
		copy(h[:], "big")
		copy(h[100:], "0000644\x000000000\x000000000\x0000000001000\x0000000000000\x00")
		h[156] = 'S'
		copy(h[257:], "ustar  \x00")
		number := func(b []byte, v int64) { // base 256
			b[0] = 0x80
			for i := len(b) - 1; i > 0; i-- {
				b[i] = byte(v)
				v >>= 8
			}
		}
		number(h[386:398], size-512)
		number(h[398:410], 512)
		number(h[483:495], size)
		copy(h[148:156], "        ")
		sum := 0
		for _, b := range h {
			sum += int(b)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		if _, err := w.Write(h[:]); err != nil {
			return err
		}
		_, err := w.Write(make([]byte, 512+1024))
		return err
	})
}

// zeros is a layer with files of zeros, each with a byte of its own, so that none is the same.
func zeros(t *testing.T, files int, size int64) layer {
	t.Helper()
	return archive(t, func(w *tar.Writer) error {
		zero := make([]byte, 1<<20)
		for i := range files {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint("z", i), Mode: 0o644, Size: size +
				1}); err != nil {
				return err
			}
			if _, err := w.Write([]byte{byte(i + 1)}); err != nil {
				return err
			}
			for n := size; n > 0; n -= int64(len(zero)) {
				if _, err := w.Write(zero); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// entries is a layer of empty files.
func entries(t *testing.T, prefix string, n int) layer {
	t.Helper()
	return archive(t, func(w *tar.Writer) error {
		for i := range n {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(prefix, "/", i),
				Mode: 0o644}); err != nil {
				return err
			}
		}
		return nil
	})
}

// attributes is a layer of empty files with a large attribute each, no two of them the same.
func attributes(t *testing.T, files, size, salt int) layer {
	t.Helper()
	return archive(t, func(w *tar.Writer) error {
		value := strings.Repeat("v", size)
		for i := range files {
			h := &tar.Header{
				Typeflag: tar.TypeReg, Name: fmt.Sprint("a", i), Mode: 0o644,
				PAXRecords: map[string]string{"SCHILY.xattr.user.a": fmt.Sprint(salt+i, value)},
			}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
		}
		return nil
	})
}

// longPaths is a layer of files with paths of nearly four KiB.
func longPaths(t *testing.T, n int) layer {
	t.Helper()
	long := strings.Repeat(strings.Repeat("d", 250)+"/", 15)
	return archive(t, func(w *tar.Writer) error {
		for i := range n {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: long + fmt.Sprint(i),
				Mode: 0o644}); err != nil {
				return err
			}
		}
		return nil
	})
}

// links are layers each of whose files lie below a chain of symbolic links of the layers before.
func links(t *testing.T, layers, length int) []layer {
	t.Helper()
	items := []treetest.Item{treetest.Dir("real")}
	for i := range length {
		to := "real"
		if i > 0 {
			to = fmt.Sprint("link", i-1)
		}
		items = append(items, treetest.Symlink(fmt.Sprint("link", i), to))
	}
	out := []layer{gzipped(t, items...)}
	for i := range layers {
		var files []treetest.Item
		for j := range 500 {
			files = append(files, treetest.File(fmt.Sprintf("link%d/%d-%d", length-1, i, j), ""))
		}
		out = append(out, gzipped(t, files...))
	}
	return out
}

// objects is an encapsulated image in which many files share one object of attributes.
func objects(t *testing.T, files int) layer {
	t.Helper()
	const repo = "sysroot/ostree/repo/objects/"
	object := repo + "aa/" + strings.Repeat("b", 62) + ".file-xattrs"
	return archive(t, func(w *tar.Writer) error {
		// a(ayay): one attribute with a value of 60,000 bytes; the offsets that end it are four bytes wide.
		value := "user.a\x00" + strings.Repeat("v", 60_000) + "\x07\x00"
		body := value + string([]byte{byte(len(value)), byte(len(value) >> 8)})
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: object, Mode: 0o644,
			Size: int64(len(body))}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, body); err != nil {
			return err
		}
		for i := range files {
			name := fmt.Sprintf("%s%02x/%062x.file", repo, i%256, i)
			link := &tar.Header{Typeflag: tar.TypeLink, Name: name + "-xattrs-link", Linkname: object, Mode: 0o644}
			if err := w.WriteHeader(link); err != nil {
				return err
			}
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}); err != nil {
				return err
			}
		}
		return nil
	})
}

// emptyMembers is a layer of gzip that consists of empty members, behind an empty archive.
func emptyMembers(n int) layer {
	var empty, blob bytes.Buffer
	z := gzip.NewWriter(&empty)
	_ = z.Close() // to memory
	z = gzip.NewWriter(&blob)
	raw := make([]byte, 1024)
	_, _ = z.Write(raw)
	_ = z.Close()
	for range n {
		blob.Write(empty.Bytes())
	}
	return layer{ocispec.MediaTypeImageLayerGzip, blob.Bytes(), digest.FromBytes(raw)}
}

// scale makes bombs smaller where tests are to be short.
func scale() int {
	if testing.Short() {
		return 8
	}
	return 1
}

// However an image is made, it costs the process no more than the bounds say, three times in a row, and a good image is
// served beside it.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			u := newUpstream(t)
			u.image("os/bomb", "v1", b.layers(t, scale())...)
			u.goodImage("os/good", "v0")
			// What may lie in the work directory at once.
			const work = 2 << 30
			p := newProxy(t, map[string]*upstream{"up.test": u}, "work_bytes: 2GiB", "default_upstream: up.test")
			for i := range 3 {
				a := p.get("/v2/up.test/os/bomb/manifests/v1", "Accept", ocispec.MediaTypeImageManifest)
				if a.status != http.StatusOK || !b.harmless && a.served() != "original" {
					t.Errorf("pull %d: %s", i, a)
				}
				tag := fmt.Sprint("v", i+1)
				u.goodImage("os/good", tag)
				p.good("up.test/os/good", tag)
				if used := p.NamelessFiles(); used > work {
					t.Errorf("spools of %d MiB", used>>20)
				}
			}
			p.within(b.name)
			if !b.harmless && len(p.Log.Find(namesBudget)) == 0 {
				t.Error("no line of the log names what the image was over")
			}
			t.Logf("peak memory %d MiB", p.PeakMemory()>>20)
		})
	}
}

// The images of one lineage are planned against each other, and cost no more together than the bounds say.
func TestBombsOfOneLineage(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, map[string]*upstream{"up.test": u})
	for i := range 3 {
		tag := fmt.Sprint("v", i)
		u.image("os/bomb", tag, attributes(t, 130, 900<<10, 1000*i), entries(t, tag, 100_000))
		if a := p.get("/v2/up.test/os/bomb/manifests/" + tag); a.status != http.StatusOK {
			t.Fatal(a)
		}
		p.within(tag)
	}
	t.Logf("peak memory %d MiB", p.PeakMemory()>>20)
}

// namesBudget picks the line that says why an image is served as it is.
func namesBudget(l programtest.Line) bool {
	reason, _ := l["error"].(string)
	if reason == "" {
		reason, _ = l["reason"].(string)
	}
	return l["level"] != "ERROR" && (strings.Contains(reason, "limit") || strings.Contains(reason, "at most") ||
		strings.Contains(reason, "budget"))
}

// Documents and listings are bounded, whatever an upstream sends.
func TestDocumentBombs(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u})
	endless := func(mediaType, head, text string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			block := []byte(strings.Repeat(text, 4096))
			_, err := io.WriteString(w, head)
			for n := 0; n < 1<<30 && err == nil && r.Context().Err() == nil; n += len(block) {
				_, err = w.Write(block)
			}
		}
	}
	u.lie("/v2/os/endless/manifests/v1", endless(ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[`, `{},`))
	u.lie("/v2/os/nested/manifests/v1", endless(ocispec.MediaTypeImageManifest, "", "["))
	u.lie("/v2/os/tags/tags/list", endless("application/json", `{"name":"os/tags","tags":[`, `"a",`))
	for i := range 400 { // pages of 4 MB each
		u.lie(fmt.Sprintf("/v2/os/pages/page%d", i), pageOfReferrers(fmt.Sprintf("/v2/os/pages/page%d", i+1)))
	}
	subject := digest.FromString("subject").String()
	u.lie("/v2/os/pages/referrers/"+subject, pageOfReferrers("/v2/os/pages/page0"))
	bombed := func(w http.ResponseWriter, _ *http.Request) { // a MiB that would be a GiB
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		zero := make([]byte, 1<<20)
		for range 1 << 10 {
			_, _ = z.Write(zero)
		}
		_ = z.Close()
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
	u.lie("/v2/os/encoded/manifests/v1", bombed)
	for _, path := range []string{
		"/v2/up.test/os/endless/manifests/v1", "/v2/up.test/os/nested/manifests/v1", "/v2/up.test/os/tags/tags/list",
		"/v2/up.test/os/pages/referrers/" + subject, "/v2/up.test/os/encoded/manifests/v1",
	} {
		if a := p.get(path); a.status < 400 && len(a.body) > 64<<20 {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
		p.within(path)
	}
	p.good("up.test/os/good", "v1")
	t.Logf("peak memory %d MiB", p.PeakMemory()>>20)
}

// Documents of as many members as there may be, and of more, cost little even when many are asked for at once.
func TestWideDocuments(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u})
	for i := range 40 {
		for tag, doc := range map[string]string{
			"index": `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","a":` + fmt.Sprint(i) +
				`,"manifests":[` +
				strings.Repeat("{},", 1_390_000) + `{}]}`,
			"annotations": `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest +
				`","layers":[],"annotations":{` +
				members(120_000, i) + `}}`,
		} {
			u.put(fmt.Sprintf("/v2/os/wide%d/manifests/%s", i, tag), map[string]string{
				"index": ocispec.MediaTypeImageIndex, "annotations": ocispec.MediaTypeImageManifest,
			}[tag], []byte(doc))
		}
	}
	var left sync.WaitGroup
	for i := range 40 {
		for _, tag := range []string{"index", "annotations"} {
			left.Go(func() { p.get(fmt.Sprintf("/v2/up.test/os/wide%d/manifests/%s", i, tag)) })
		}
	}
	left.Wait()
	p.good("up.test/os/good", "v1")
	p.within("wide documents")
	t.Logf("peak memory %d MiB", p.PeakMemory()>>20)
}

// members are those of a JSON object, none twice.
func members(n, salt int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d-%d":"",`, salt, i)
	}
	return b.String() + `"last":""`
}

// pageOfReferrers is an index of some MB that leads to a next page.
func pageOfReferrers(next string) http.HandlerFunc {
	idx := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	idx.SchemaVersion = 2
	for i := range 10_000 {
		idx.Manifests = append(idx.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(next + fmt.Sprint(i)), Size: 1,
			ArtifactType: strings.Repeat("a", 200),
		})
	}
	b, _ := json.Marshal(idx)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Link", "<"+next+`>; rel="next"`)
		_, _ = w.Write(b)
	}
}

// A manifest of many descriptors writes one record, not one for each.
func TestManifestWritesOneRecord(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	var m ocispec.Manifest
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	m.Config = s.honest.blob("team/wide", ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux"}`))
	for i := range 22_000 {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer,
			Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	s.honest.manifest("team/wide", "v1", ocispec.MediaTypeImageManifest, m)
	a := s.as(alice, http.MethodGet, "/v2/honest.test/team/wide/manifests/v1", "Accept", ocispec.MediaTypeImageManifest)
	if a.status != http.StatusOK {
		t.Fatal(a)
	}
	records := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "strata-data"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			records++
		}
		return err
	})
	if err != nil || records > 100 {
		t.Errorf("%d files in the store, %v", records, err)
	}
}
