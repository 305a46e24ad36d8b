package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWarmWaits(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{Warmer: fakeWarmer{}})
	c := NewClient(s.URL, s.Client())
	var events []WarmEvent
	err := c.Warm(t.Context(), []string{"good", "bad"}, func(e WarmEvent) { events = append(events, e) })
	if err == nil || err.Error() != "bad: no such tag" {
		t.Errorf("got %v", err)
	}
	final := map[string]WarmEvent{}
	for _, e := range events {
		if final[e.Reference].Final() {
			t.Errorf("%+v comes after the last event", e)
		}
		final[e.Reference] = e
	}
	want := map[string]WarmEvent{
		"good": {Reference: "good", State: StateDone}, "bad": {Reference: "bad", State: StateFailed, Error: "no such tag"},
	}
	if diff := cmp.Diff(want, final); diff != "" {
		t.Errorf("last events (-want +got)\n%s", diff)
	}
	if !slices.Contains(events, WarmEvent{
		Reference: "good", Platform: "linux/amd64", State: StateRunning, Phase: "writing layers", DoneBytes: 2, TotalBytes: 2,
	}) {
		t.Errorf("no progress in %+v", events)
	}
}

// A client that leaves ends what it waited for.
func TestWarmEndsWithItsClient(t *testing.T) {
	t.Parallel()
	h, s := serve(t, Options{Warmer: fakeWarmer{}})
	c := NewClient(s.URL, s.Client())
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Warm(ctx, []string{"slow"}, func(e WarmEvent) {
		if e.State == StateRunning {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	h.work.Wait()
	if jobs := h.warm.reports(); len(jobs) != 1 || jobs[0].State != StateCancelled {
		t.Errorf("got %+v", jobs)
	}
}

func TestWarmLater(t *testing.T) {
	t.Parallel()
	h, s := serve(t, Options{Warmer: fakeWarmer{}, WarmConcurrency: 1})
	c := NewClient(s.URL, s.Client())
	accepted, err := c.Enqueue(t.Context(), []string{"bad", "good"})
	want := []WarmJob{{ID: "warm-1", Reference: "bad"}, {ID: "warm-2", Reference: "good"}}
	if diff := cmp.Diff(want, accepted); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	h.work.Wait()
	jobs, err := c.Jobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(jobs, func(a, b JobReport) int { return strings.Compare(a.ID, b.ID) })
	wantJobs := []JobReport{
		{ID: "warm-1", Kind: KindWarm, Reference: "bad", State: StateFailed, DoneBytes: 1, TotalBytes: 2, Error: "no such tag"},
		{ID: "warm-2", Kind: KindWarm, Reference: "good", State: StateDone, DoneBytes: 2, TotalBytes: 2},
	}
	if diff := cmp.Diff(wantJobs, jobs[1:], cmpopts.IgnoreFields(JobReport{}, "Seconds", "StartedAt")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Close ends what nobody waits for.
func TestCloseEndsWarming(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}, WarmConcurrency: 1})
		post := func(body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, local+"/api/v1/warm", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			h.ServeHTTP(w, r)
			return w
		}
		if w := post(`{"references":["slow","slow","slow"]}`); w.Code != http.StatusAccepted {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		states := map[string]int{}
		for _, j := range h.warm.reports() {
			states[j.State]++
		}
		if diff := cmp.Diff(map[string]int{StateRunning: 1, StateQueued: 2}, states); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		h.Close()
		for _, j := range h.warm.reports() {
			if j.State != StateCancelled {
				t.Errorf("got %+v", j)
			}
		}
		if w := post(`{"references":["x"]}`); w.Code != http.StatusServiceUnavailable {
			t.Errorf("after Close: %d %s", w.Code, w.Body)
		}
	})
}

func TestWarmRefuses(t *testing.T) {
	t.Parallel()
	h := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}})
	defer h.Close()
	long := strings.Repeat("x", maxReferenceSize+1)
	many := `{"references":[` + strings.Repeat(`"x",`, maxReferences) + `"x"]}`
	for _, tc := range []struct {
		contentType, origin, body string
		status                    int
	}{
		{"text/plain", "", `{"references":["x"]}`, 415},
		{"application/x-www-form-urlencoded", "", `references=x`, 415},
		{"", "", `{"references":["x"]}`, 415},
		{"application/json", "https://evil.example", `{"references":["x"]}`, 403},
		{"application/json", "", `{"references":[]}`, 400},
		{"application/json", "", `{}`, 400},
		{"application/json", "", ``, 400},
		{"application/json", "", `[]`, 400},
		{"application/json", "", `{"refs":["x"]}`, 400},
		{"application/json", "", `{"references":["x"]}{}`, 400},
		{"application/json", "", `{"references":[""]}`, 400},
		{"application/json", "", `{"references":["a b"]}`, 400},
		{"application/json", "", `{"references":["a\u0000b"]}`, 400},
		{"application/json", "", `{"references":["` + long + `"]}`, 400},
		{"application/json", "", many, 400},
		{"application/json", "", `{"references":["` + strings.Repeat("x", maxWarmBody) + `"]}`, 413},
	} {
		r := httptest.NewRequest(http.MethodPost, local+"/api/v1/warm", strings.NewReader(tc.body))
		r.Header.Set("Content-Type", tc.contentType)
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.status || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
			t.Errorf("%s %.40s: got %d %s, want %d", tc.contentType, tc.body, w.Code, w.Body, tc.status)
		}
	}
	if jobs := h.warm.reports(); len(jobs) > 0 {
		t.Errorf("%d jobs were taken on", len(jobs))
	}
}

func TestWarmIsBounded(t *testing.T) {
	t.Parallel()
	tasks := newWarmTasks(fakeWarmer{}, 0)
	if _, err := tasks.add(make([]string, maxWarming)); err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.add([]string{"x"}); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	for _, task := range slices.Clone(tasks.active) {
		tasks.note(task, WarmEvent{State: StateDone})
	}
	if _, err := tasks.add([]string{"x"}); err != nil || len(tasks.ended) != maxWarmed {
		t.Errorf("%v; %d remembered", err, len(tasks.ended))
	}
}

// A stream that ends early is no success.
func TestClientNoticesTheEndOfAStream(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"reference":"a","state":"done"}`+"\n"+`{"reference":"b","state":"running"}`+"\n")
	}))
	defer s.Close()
	if err := NewClient(s.URL, s.Client()).Warm(t.Context(), []string{"a", "b"}, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestEventQueue(t *testing.T) {
	t.Parallel()
	q := newEventQueue()
	for i := range int64(5) {
		q.put(WarmEvent{Reference: "a", State: StateRunning, Phase: "fetching", DoneBytes: i})
		q.put(WarmEvent{Reference: "b", State: StateRunning, Phase: "fetching", DoneBytes: i})
	}
	q.put(WarmEvent{Reference: "a", State: StateDone})
	want := []WarmEvent{
		{Reference: "a", State: StateRunning, Phase: "fetching", DoneBytes: 4},
		{Reference: "b", State: StateRunning, Phase: "fetching", DoneBytes: 4},
		{Reference: "a", State: StateDone},
	}
	got, more := q.take()
	if diff := cmp.Diff(want, got); diff != "" || !more {
		t.Errorf("%v (-want +got)\n%s", more, diff)
	}
	for i := range maxEvents + 100 {
		q.put(WarmEvent{Reference: "a", State: StateRunning, Phase: strings.Repeat("x", i)})
	}
	q.put(WarmEvent{Reference: "a", State: StateFailed})
	q.close()
	got, more = q.take()
	if len(got) != maxEvents+1 || got[maxEvents].State != StateFailed || more {
		t.Errorf("a client far behind gets %d events", len(got))
	}
}

// Many jobs and one client do not trip over each other.
func TestEventQueueConcurrently(t *testing.T) {
	t.Parallel()
	q := newEventQueue()
	var jobs sync.WaitGroup
	for i := range 8 {
		jobs.Go(func() {
			for n := range int64(100) {
				q.put(WarmEvent{Reference: string(rune('a' + i)), State: StateRunning, DoneBytes: n})
			}
			q.put(WarmEvent{Reference: string(rune('a' + i)), State: StateDone})
		})
	}
	go func() {
		jobs.Wait()
		q.close()
	}()
	done := 0
	for more := true; more; {
		var events []WarmEvent
		events, more = q.take()
		for _, e := range events {
			if e.Final() {
				done++
			}
		}
	}
	if done != 8 {
		t.Errorf("%d of 8 jobs ended", done)
	}
}

// Whatever is posted, what is taken on is within the limits.
func FuzzWarmRequest(f *testing.F) {
	f.Add([]byte(`{"references":["ghcr.io/ublue-os/bluefin:stable"]}`))
	f.Add([]byte(`{"references":[null,1]}`))
	f.Add([]byte(`{"references":["\u2028"]}{}`))
	h := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}})
	f.Cleanup(h.Close)
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, local+"/api/v1/warm", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		references, status, err := h.readWarm(httptest.NewRecorder(), r)
		if err != nil {
			if status < 400 || status > 499 {
				t.Errorf("status %d", status)
			}
			return
		}
		if len(references) == 0 || len(references) > maxReferences || checkReferences(references) != nil {
			t.Errorf("accepted %q", references)
		}
	})
}
