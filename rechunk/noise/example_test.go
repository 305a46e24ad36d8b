package noise_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"time"

	"github.com/strata-oci/strata/rechunk/noise"
)

// Two builds compress the same page at other times.
func ExampleJudge_Compare() {
	page := func(at int64, text string) *bytes.Reader {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.ModTime = time.Unix(at, 0)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return bytes.NewReader(b.Bytes())
	}
	const p = "usr/share/doc/local/notes.gz"
	j := noise.NewJudge(noise.DefaultLimits())
	for _, now := range []*bytes.Reader{page(2000, "notes"), page(2000, "Notes")} {
		v, err := j.Compare(context.Background(), noise.KindAt(p), p, page(1000, "notes"), now)
		fmt.Println(v.Same, v.What, err)
	}
	// Output:
	// true how it is stored <nil>
	// false more than noise differs <nil>
}
