package toc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer/toc"
)

func annotations() map[string]string {
	return map[string]string{
		toc.AnnotationChecksum: digest.FromString("table").String(),
		toc.AnnotationPosition: "100:20:300:1", toc.AnnotationTarSplit: "128:30:400",
	}
}

// The annotations of a layer say where its table is.
func ExampleFind() {
	p, err := toc.Find(annotations())
	fmt.Println(p.Table, p.TarSplit, p.TooLong(), err)
	_, err = toc.Find(nil)
	fmt.Println(err)
	// Output:
	// {100 20 300} {128 30 400} false <nil>
	// invalid table of contents: annotation io.github.containers.zstd-chunked.manifest-checksum is no digest
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, value string }{
		{toc.AnnotationChecksum, ""}, {toc.AnnotationChecksum, "sha256:1"},
		{toc.AnnotationChecksum, "sha512:" + strings.Repeat("0", 128)},
		{toc.AnnotationPosition, ""}, {toc.AnnotationPosition, "100:20:300"}, {toc.AnnotationPosition, "100:20:300:2"},
		{toc.AnnotationPosition, "100:20:300:1:1"}, {toc.AnnotationPosition, "-1:20:300:1"},
		{toc.AnnotationPosition, "0:20:300:1"}, {toc.AnnotationPosition, "+1:20:300:1"},
		{toc.AnnotationPosition, "01:20:300:1"}, {toc.AnnotationPosition, "9223372036854775807:20:300:1"},
		{toc.AnnotationPosition, "100:99999999999999999999:300:1"},
		{toc.AnnotationTarSplit, ""}, {toc.AnnotationTarSplit, "128:30:x"}, {toc.AnnotationTarSplit, "128:30:0"},
	} {
		a := annotations()
		a[c.key] = c.value
		if p, err := toc.Find(a); !errors.Is(err, toc.ErrInvalid) {
			t.Errorf("%s=%s: %+v, %v", c.key, c.value, p, err)
		}
	}
	for key, value := range map[string]string{
		toc.AnnotationPosition: "100:20:157286401:1", toc.AnnotationTarSplit: "128:157286401:400",
	} {
		a := annotations()
		a[key] = value
		if p, err := toc.Find(a); err != nil || !p.TooLong() {
			t.Errorf("%s=%s: %+v, %v", key, value, p, err)
		}
	}
}
