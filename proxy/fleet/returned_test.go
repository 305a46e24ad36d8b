package fleet

import (
	"context"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// Hosts that ask for a tag again are back, whichever replica they ask, and those that don't are overdue once they had the
// time to and all replicas know what the others saw.
func TestReturned(t *testing.T) {
	t.Parallel()
	const tag, within = "ghcr.io/team/os1:stable", 2 * time.Hour
	w := newWorld(t)
	a, b := w.replica(), w.replica()
	began := w.now
	told := func(f *Fleet, since time.Time) Returned {
		t.Helper()
		out, ok := f.Returned(tag, []digest.Digest{image(2), image(3)}, since, within)
		if !ok {
			t.Fatal("it is not known which hosts there are")
		}
		return out
	}
	for i := range 20 {
		a.Saw(pulls(i, 1, 1)) // another version
	}
	w.now = w.now.Add(time.Hour)
	for i := range 10 {
		a.Saw(pulls(i, 1, 2))
	}
	b.Saw(pulls(10, 1, 3)) // as the original
	w.flush(a, b, a)
	w.now = w.now.Add(time.Minute)
	for i := range 10 {
		a.Saw(pulls(i, 1, 2)) // the same pull still
	}
	if got := told(a, began); got != (Returned{Hosts: 11}) {
		t.Errorf("just now: %+v", got)
	}
	w.now = w.now.Add(time.Hour)
	for i := range 8 {
		s := pulls(i, 1, 5) // what the tag stands for now
		s.Got = false
		b.Saw(s)
	}
	w.flush(b, a)
	if got := told(a, began); got != (Returned{Hosts: 11, Back: 8}) {
		t.Errorf("after an hour: %+v", got)
	}
	w.now = w.now.Add(time.Hour + settle)
	want := Returned{Hosts: 11, Back: 8, Overdue: 3, Watched: true}
	for name, f := range map[string]*Fleet{"a": a, "b": b} {
		if got := told(f, began); got != want {
			t.Errorf("%s, after two hours: %+v", name, got)
		}
	}
	if got := told(a, w.now.Add(-time.Hour)); got.Hosts != 0 {
		t.Errorf("of those that got it since: %+v", got)
	}
	// Who starts knows the same, and not yet whether anybody had the chance to be seen.
	want.Watched = false
	restarted := w.replica()
	if got := told(restarted, began); got != want {
		t.Errorf("restarted: %+v", got)
	}
	w.now = w.now.Add(within + settle)
	if got := told(restarted, began); !got.Watched {
		t.Errorf("restarted, two hours later: %+v", got)
	}
}

// While the store does not answer, hosts get nothing, and are not to blame.
func TestReturnedWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.replica()
	f.Saw(pulls(1, 1, 1))
	w.now = w.now.Add(9 * time.Hour)
	watched := func() bool {
		out, _ := f.Returned("ghcr.io/team/os1:stable", []digest.Digest{image(1)}, time.Time{}, time.Hour)
		return out.Watched
	}
	if !watched() {
		t.Error("hosts are not watched")
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Flush(gone, 0); err == nil {
		t.Skip("the store in memory heeds no context")
	}
	if watched() {
		t.Error("hosts are watched while the store is away")
	}
	w.flush(f)
	w.now = w.now.Add(time.Hour)
	if watched() {
		t.Error("hosts had no time yet")
	}
	if w.now = w.now.Add(settle); !watched() {
		t.Error("hosts are not watched any more")
	}
}

// Where hosts are not counted, nothing is known of them.
func TestReturnedNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.by.Identify = ""
	for _, f := range []*Fleet{nil, New(Options{Hosts: w.records.Fleet, Tags: w.records.FleetTags, Settings: w.settings}),
		w.replica()} {
		if _, ok := f.Returned("a/b:c", nil, time.Time{}, time.Hour); ok {
			t.Error("nobody is known for sure")
		}
	}
}
