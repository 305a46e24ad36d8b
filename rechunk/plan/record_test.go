package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// lived plans versions one after the other, each with the history of the one before, and returns the last input and layout.
func lived(t testing.TB, lim Limits, versions int, make func(int) *tree.Tree) (Input, *Layout) {
	t.Helper()
	var in Input
	l := &Layout{}
	for n := range versions {
		tr := make(n)
		in = Input{Tree: tr, Owners: owners(tr), Lineage: in.Lineage, Limits: lim, History: l.History}
		for c := range in.Owners.Components {
			in.Owners.Components[c].Version = "1"
		}
		l = mustMake(t, in)
		in.Lineage = append([]Image{served(t, in, l)}, in.Lineage...)
		in.Lineage = in.Lineage[:min(len(in.Lineage), 3)]
	}
	return in, l
}

func parse(t testing.TB, h *History) *History {
	t.Helper()
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseHistory(b)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestHistoryRoundTrip(t *testing.T) {
	t.Parallel()
	_, l := lived(t, loose, 12, func(n int) *tree.Tree {
		return build(ballast(file("a/x", fmt.Sprint(n)), file("b/y", fmt.Sprint(n/3)), file("c/z", "1"))...)
	})
	if got := parse(t, l.History); !got.Equal(l.History) || got.Steps() != 11 {
		t.Errorf("%d steps; read back as %+v, want %+v", got.Steps(), got, l.History)
	}
}

// A file that differs though its package is the same version is learned, and lies apart from the package then.
func TestVolatileFileIsLearned(t *testing.T) {
	t.Parallel()
	in, l := lived(t, Limits{MaxLayers: 64, MaxStale: 0.1}, 9, func(n int) *tree.Tree {
		return build(ballast(sized("c/stamp.so", fmt.Sprint(n), 4*mb), sized("c/big.so", "1", 40*mb),
			sized("d/x", fmt.Sprint(n/4), mb))...)
	})
	stamp, _ := in.Tree.Find("c/stamp.so")
	for _, layer := range l.Layers {
		for _, i := range layer.Entries {
			if i == stamp && (len(layer.Entries) > 1 || layer.Heat < 0.6) {
				t.Errorf("the volatile file lies in %q with %d entries, heat %.2f", layer.Name, len(layer.Entries),
					layer.Heat)
			}
		}
	}
	in.Lineage, in.History = nil, l.History
	first := mustMake(t, in)
	for _, layer := range first.Layers {
		if len(layer.Entries) > 1 && strings.Contains(fmt.Sprint(layer.Entries), fmt.Sprint(stamp)) {
			t.Errorf("planned anew, the volatile file lies in %q", layer.Name)
		}
	}
}

// A history that is lost costs precision, not the lineage: its images teach again.
func TestLostHistory(t *testing.T) {
	t.Parallel()
	in, _ := lived(t, Limits{MaxLayers: 64, MaxStale: 0.2}, 6, func(n int) *tree.Tree {
		return build(ballast(sized("a/x.so", fmt.Sprint(n), 3*mb))...)
	})
	in.History = nil
	l := mustMake(t, in)
	if l.Base < 0 || l.History.Steps() == 0 {
		t.Errorf("base %d, %d steps: %v", l.Base, l.History.Steps(), l.Notes)
	}
}

// Two variants in turn: steps are counted from the image that is most like the tree, so that a variant's own files do not
// seem to come and go.
func TestVariantsShareAHistory(t *testing.T) {
	t.Parallel()
	_, l := lived(t, loose, 16, func(n int) *tree.Tree {
		version := fmt.Sprint(n / 2)
		entries := ballast(sized("shared/x.so", version, mb), sized("shared/y.so", "1", mb))
		if n%2 == 1 {
			entries = append(entries, sized("extra/x.so", "1", 8*mb), sized("extra/y.so", version, mb))
		}
		return build(entries...)
	})
	for _, id := range []string{"rpm/a", "rpm/b"} {
		if got := l.History.track(id); got.changed.count() != 0 || got.seen.count() < 14 {
			t.Errorf("%s changed in %d of %d steps", id, got.changed.count(), got.seen.count())
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := &History{steps: 700}
	var all bitset
	for range MaxSteps + 100 {
		all.push(true)
	}
	for i := range maxTracks {
		id := fmt.Sprintf("%06d/%s", i, strings.Repeat("x", maxTrackID-7))
		h.tracks = append(h.tracks, track{id, strings.Repeat("1", maxVersion), all, all})
	}
	for i := range maxFileTracks {
		h.files = append(h.files, fileTrack{uint64(i), maxCount, maxCount, maxCount})
	}
	b, err := json.Marshal(h)
	if err != nil || len(b) > maxHistoryJSON {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	h = parse(t, h)
	tr := build(manyFiles(300, mb)...)
	in := Input{Tree: tr, Owners: owners(tr), Limits: loose, History: h}
	l := mustMake(t, in)
	if parse(t, l.History); len(l.History.tracks) > maxTracks || len(l.History.files) > maxFileTracks {
		t.Errorf("%d components, %d files", len(l.History.tracks), len(l.History.files))
	}
}

func TestParseHistoryErrors(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"empty":               ``,
		"null":                `null`,
		"another format":      `{"format":2}`,
		"negative":            `{"format":1,"steps":-1}`,
		"no ID":               `{"format":1,"components":[{"id":"","seen":"","changed":""}]}`,
		"order":               `{"format":1,"components":[{"id":"b"},{"id":"a"}]}`,
		"twice":               `{"format":1,"components":[{"id":"a"},{"id":"a"}]}`,
		"long ID":             `{"format":1,"components":[{"id":"` + strings.Repeat("x", maxTrackID+1) + `"}]}`,
		"changed unseen":      `{"format":1,"components":[{"id":"a","changed":"AQ=="}]}`,
		"too many steps":      `{"format":1,"components":[{"id":"a","seen":"` + strings.Repeat("AAAA", 22) + `"}]}`,
		"no base64":           `{"format":1,"files":"*"}`,
		"cut files":           `{"format":1,"files":"AAAA"}`,
		"more than chances":   `{"format":1,"files":"AAAAAAAAAAAAAAABAAA="}`,
		"too large":           strings.Repeat(" ", maxHistoryJSON+1),
		"too many components": `{"format":1,"components":[` + strings.Repeat(`{},`, maxTracks) + `{}]}`,
	} {
		if _, err := ParseHistory([]byte(doc)); !errors.Is(err, ErrHistory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	_, l := lived(f, loose, 4, func(n int) *tree.Tree { return build(ballast(file("a/x", fmt.Sprint(n)))...) })
	b, err := json.Marshal(l.History)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"steps":1,"components":[{"id":"a","seen":"AQ==","changed":"AQ=="}],"files":""}`))
	tr := build(ballast(file("a/x", "9"))...)
	f.Fuzz(func(t *testing.T, doc []byte) {
		h, err := ParseHistory(doc)
		if err != nil {
			return
		}
		if !parse(t, h).Equal(h) {
			t.Fatal("it is read back as something else")
		}
		mustMake(t, Input{Tree: tr, Owners: owners(tr), Limits: loose, History: h})
	})
}
