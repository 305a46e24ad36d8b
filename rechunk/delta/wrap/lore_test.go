package wrap_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// fitting are encoders of one program, some of whose levels make a page's bytes: its plain ones list them.
type fitting struct{}

func (fitting) Available() []wrap.Program { return []wrap.Program{{Name: "gzip", Version: "1.13"}} }

func (fitting) Encode(_ context.Context, e wrap.Encoder, plain io.Reader, wrapped io.Writer) error {
	b, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	if !bytes.Contains(b, []byte(e.Args[len(e.Args)-1]+"\n")) {
		b = append(b, '!')
	}
	return goGzip(bytes.NewReader(b), wrapped, nil)
}

// lasting are trials that remember, by several at a time.
type lasting struct {
	mu sync.Mutex
	m  map[tree.Digest]wrap.Trial
}

func (l *lasting) Tried(_ context.Context, d tree.Digest) (wrap.Trial, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.m[d]
	return t, ok, nil
}

func (l *lasting) Remember(_ context.Context, d tree.Digest, t wrap.Trial) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m[d] = t
	return nil
}

// What is found does not depend on the order in which items are worked on, as long as none begins before those that come
// wrap.Apart before it are done.
func TestItemsInAnyOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 41))
	const items = 150
	pages := make([][][]byte, items)
	for i := range pages {
		for range 1 + r.IntN(3) {
			var plain []byte
			for _, level := range []string{"-8", "-7", "-5", "-4"} {
				if r.IntN(6) == 0 {
					plain = append(plain, level+"\n"...)
				}
			}
			plain = fmt.Appendf(plain, "%d", r.IntN(40)) // some are the same
			var b bytes.Buffer
			if err := goGzip(bytes.NewReader(plain), &b, nil); err != nil {
				t.Fatal(err)
			}
			pages[i] = append(pages[i], b.Bytes())
		}
	}
	var want [2][items][]string // without trials and with them
	for round := range 12 {
		var trials wrap.Trials
		if round%2 == 1 {
			trials = &lasting{m: map[tree.Digest]wrap.Trial{}}
		}
		trier := wrap.NewTrier(fitting{}, trials, wrap.DefaultLimits())
		var got [items][]string
		first := 0 // that is not done
		for first < items {
			var running []int
			for i := first; i < min(first+wrap.Apart, items); i++ {
				if len(got[i]) < len(pages[i]) {
					running = append(running, i)
				}
			}
			i := running[0]
			if round > 1 {
				i = running[r.IntN(len(running))]
			}
			page := pages[i][len(got[i])]
			part := wrap.Part{Length: int64(len(page)), Decoder: wrap.Gzip, Size: 1000}
			if err := trier.For(i).Try(t.Context(), bytes.NewReader(page), &part); err != nil {
				t.Fatal(err)
			}
			got[i] = append(got[i], fmt.Sprint(part.Encoder))
			for first < items && len(got[first]) == len(pages[first]) {
				first++
			}
		}
		for i := range got {
			if round > 1 && !slices.Equal(got[i], want[round%2][i]) {
				t.Fatalf("item %d: %v, not %v", i, got[i], want[round%2][i])
			}
		}
		if round < 2 { // one after another
			want[round] = got
		}
	}
}
