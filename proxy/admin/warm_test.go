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
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// What is served as it is is done, and the last event says why it is so.
func TestWarmSaysWhy(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{Warmer: fakeWarmer{}})
	var last operate.WarmEvent
	warmed := func(ref string) operate.WarmEvent {
		err := NewClient(s.URL, s.Client()).Warm(t.Context(), []string{ref}, func(e operate.WarmEvent) { last = e })
		if err != nil {
			t.Fatal(err)
		}
		return last
	}
	if e := warmed("original"); e.AsItIs != "" {
		t.Errorf("%+v", e)
	}
	h := New(Options{Status: fakeStatus{}, Warmer: asItIs{}})
	defer h.Close()
	e := operate.WarmEvent{}
	tasks, err := h.warm.add([]string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.warm.run(t.Context(), tasks[0], func(one operate.WarmEvent) { e = one }); err != nil ||
		e.State != jobs.Done || e.AsItIs != "it is an artifact" {
		t.Errorf("%v, %+v", err, e)
	}
}

// asItIs warms what is not rechunked.
type asItIs struct{}

func (asItIs) Warm(_ context.Context, _ string, progress func(operate.WarmEvent)) error {
	progress(operate.WarmEvent{AsItIs: "it is an artifact"})
	return nil
}

func TestWarmWaits(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{Warmer: fakeWarmer{}})
	c := NewClient(s.URL, s.Client())
	var events []operate.WarmEvent
	err := c.Warm(t.Context(), []string{"good", "bad"}, func(e operate.WarmEvent) { events = append(events, e) })
	if err == nil || err.Error() != "bad: no such tag" {
		t.Errorf("got %v", err)
	}
	final := map[string]operate.WarmEvent{}
	for _, e := range events {
		if final[e.Reference].Final() {
			t.Errorf("%+v comes after the last event", e)
		}
		final[e.Reference] = e
	}
	want := map[string]operate.WarmEvent{
		"good": {Reference: "good", State: jobs.Done}, "bad": {Reference: "bad", State: jobs.Failed, Error: "no such tag"},
	}
	if diff := cmp.Diff(want, final); diff != "" {
		t.Errorf("last events (-want +got)\n%s", diff)
	}
	if !slices.Contains(events, operate.WarmEvent{
		Reference: "good", Platform: "linux/amd64", State: jobs.Running, Phase: "writing layers", DoneBytes: 2,
		TotalBytes: 2,
	}) {
		t.Errorf("no progress in %+v", events)
	}
}

// More references than a request may name go in several; one that fails does not keep the others from their turn.
func TestWarmMany(t *testing.T) {
	t.Parallel()
	h, s := serve(t, Options{Warmer: fakeWarmer{}})
	c := NewClient(s.URL, s.Client())
	many := slices.Repeat([]string{"good"}, 3*maxReferences-1)
	many = append([]string{"bad"}, many...)
	ended := 0
	err := c.Warm(t.Context(), many, func(e operate.WarmEvent) {
		if e.Final() {
			ended++
		}
	})
	if ended != len(many) || err == nil || err.Error() != "bad: no such tag" {
		t.Errorf("%d of %d ended: %v", ended, len(many), err)
	}
	taken, err := c.Enqueue(t.Context(), many)
	if err != nil || len(taken) != len(many) {
		t.Errorf("%d of %d were taken: %v", len(taken), len(many), err)
	}
	taken, err = c.Enqueue(t.Context(), append(many, ""))
	if err == nil || len(taken) != len(many) {
		t.Errorf("%d were taken before one that is refused: %v", len(taken), err)
	}
	settle(h)
}

// settle waits until nothing is being warmed.
func settle(h *Handler) {
	for {
		h.warm.mu.Lock()
		left := len(h.warm.active)
		h.warm.mu.Unlock()
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A client that leaves ends what it waited for.
func TestWarmEndsWithItsClient(t *testing.T) {
	t.Parallel()
	h, s := serve(t, Options{Warmer: fakeWarmer{}})
	c := NewClient(s.URL, s.Client())
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Warm(ctx, []string{"slow"}, func(e operate.WarmEvent) {
		if e.State == jobs.Running {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	settle(h)
	if all := h.warm.reports(); len(all) != 1 || all[0].State != jobs.Cancelled {
		t.Errorf("got %+v", h.warm.reports())
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
	settle(h)
	all, err := c.Jobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b operate.JobReport) int { return strings.Compare(a.ID, b.ID) })
	wantJobs := []operate.JobReport{
		{ID: "warm-1", Kind: operate.KindWarm, Reference: "bad", State: jobs.Failed, DoneBytes: 1, TotalBytes: 2,
			Error: "no such tag"},
		{ID: "warm-2", Kind: operate.KindWarm, Reference: "good", State: jobs.Done, DoneBytes: 2, TotalBytes: 2},
	}
	if diff := cmp.Diff(wantJobs, all[1:], cmpopts.IgnoreFields(operate.JobReport{}, "Seconds", "StartedAt")); diff != "" {
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
			r := httptest.NewRequest(http.MethodPost, base+"/api/v1/warm", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			h.ServeHTTP(w, r)
			return w
		}
		if w := post(`{"references":["slow","slow","slow"]}`); w.Code != http.StatusAccepted {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		states := map[jobs.State]int{}
		for _, j := range h.warm.reports() {
			states[j.State]++
		}
		if diff := cmp.Diff(map[jobs.State]int{jobs.Running: 1, jobs.Queued: 2}, states); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		h.Close()
		for _, j := range h.warm.reports() {
			if j.State != jobs.Cancelled {
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
		r := httptest.NewRequest(http.MethodPost, base+"/api/v1/warm", strings.NewReader(tc.body))
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
	if all := h.warm.reports(); len(all) > 0 {
		t.Errorf("%d jobs were taken on", len(all))
	}
}

func TestWarmIsBounded(t *testing.T) {
	t.Parallel()
	tasks := newWarmTasks(fakeWarmer{}, 0, background.New(background.Options{}))
	if _, err := tasks.add(make([]string, maxWarming)); err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.add([]string{"x"}); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	for _, task := range slices.Clone(tasks.active) {
		tasks.note(task, operate.WarmEvent{State: jobs.Done})
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
		q.put(operate.WarmEvent{Reference: "a", State: jobs.Running, Phase: "fetching", DoneBytes: i})
		q.put(operate.WarmEvent{Reference: "b", State: jobs.Running, Phase: "fetching", DoneBytes: i})
	}
	q.put(operate.WarmEvent{Reference: "a", State: jobs.Done})
	want := []operate.WarmEvent{
		{Reference: "a", State: jobs.Running, Phase: "fetching", DoneBytes: 4},
		{Reference: "b", State: jobs.Running, Phase: "fetching", DoneBytes: 4},
		{Reference: "a", State: jobs.Done},
	}
	got, more := q.take()
	if diff := cmp.Diff(want, got); diff != "" || !more {
		t.Errorf("%v (-want +got)\n%s", more, diff)
	}
	for i := range maxEvents + 100 {
		q.put(operate.WarmEvent{Reference: "a", State: jobs.Running, Phase: strings.Repeat("x", i)})
	}
	q.put(operate.WarmEvent{Reference: "a", State: jobs.Failed})
	q.close()
	got, more = q.take()
	if len(got) != maxEvents+1 || got[maxEvents].State != jobs.Failed || more {
		t.Errorf("a client far behind gets %d events", len(got))
	}
}

// Many jobs and one client do not trip over each other.
func TestEventQueueConcurrently(t *testing.T) {
	t.Parallel()
	q := newEventQueue()
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for n := range int64(100) {
				q.put(operate.WarmEvent{Reference: string(rune('a' + i)), State: jobs.Running, DoneBytes: n})
			}
			q.put(operate.WarmEvent{Reference: string(rune('a' + i)), State: jobs.Done})
		})
	}
	go func() {
		running.Wait()
		q.close()
	}()
	done := 0
	for more := true; more; {
		var events []operate.WarmEvent
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
		r := httptest.NewRequest(http.MethodPost, base+"/api/v1/warm", strings.NewReader(string(body)))
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
