package pages

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// However estimates are split, the shares that are shown add up to a hundred.
func TestPercents(t *testing.T) {
	t.Parallel()
	for _, parts := range [][]float64{
		{1}, {1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {0.4, 99.6}, {3, 5, 7, 100, 0.01}, {1e9, 1, 1}, {0, 0, 2},
	} {
		sum := 0
		for _, p := range percents(parts...) {
			sum += p
		}
		if sum != 100 {
			t.Errorf("%v add up to %d", parts, sum)
		}
	}
	if got := percents(0, 0); got[0] != 0 || got[1] != 0 {
		t.Errorf("nothing is %v", got)
	}
}

// Clients that were counted more than once, or in part, are still all clients.
func TestLags(t *testing.T) {
	t.Parallel()
	got := lagsOf(operate.PullCount{Fresh: 4.2, Behind: []float64{9.9, 1.1, 2, 0.5, 0.5}})
	sum := 0
	for _, l := range got {
		sum += l.Percent
	}
	if sum != 100 || len(got) != 5 || got[0].Text != "had nothing" || got[1].Text != "1 version behind" ||
		got[4].Text != "4 or more behind" {
		t.Errorf("%+v", got)
	}
	if got := lagsOf(operate.PullCount{}); got != nil {
		t.Errorf("of nobody: %+v", got)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for want, got := range map[string]string{
		"1.0 kB": size(1000), "−2.0 kB": size(-2000), "100 %": share(5, 5), "99.9 %": share(99_999, 100_000),
		"< 0.1 %": share(1, 100_000), "0.0 %": share(0, 5), "–": share(1, 0), "5.0 %": share(1, 20), "50 %": share(1, 2),
		"1 repository": plural(1, "repository"), "1,000 repositories": plural(int64(1000), "repository"),
		"0 tags": plural(0, "tag"), "3.0 s": took(3 * time.Second), "59 s": took(59 * time.Second),
		"1 min": took(119 * time.Second), "23 h": took(24*time.Hour - 1), "3 d": took(80 * time.Hour),
		cut(strings.Repeat("é", 60)): strings.Repeat("é", 60), strings.Repeat("é", 59) + "…": cut(strings.Repeat("é", 350)),
		"layer 0123456789ab…: no tar, sha256:01": brief("layer sha256:0123456789abcdef0123456789abcdef0123456789abcdef" +
			"0123456789abcdef: no tar, sha256:01"),
		"0123456789ab": short("sha256:0123456789abcdef"), "ab": short("ab"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, at := range map[string]time.Time{
		">5 min ago<": now.Add(-5*time.Minute - 1), ">just now<": now, ">in 2 h<": now.Add(2 * time.Hour),
	} {
		if got := string(ago(now, at)); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A job that has ended has an outcome and no phase, what is served as it is is no failure, and the time left is that of the
// phase whose bytes are known.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		report         operate.JobReport
		class, outcome string
	}{
		{operate.JobReport{State: jobs.Done, Phase: "verify"}, "good", "done"},
		{operate.JobReport{State: jobs.Skipped, Error: "a UKI"}, "quiet", "served as it is"},
		{operate.JobReport{State: jobs.Cancelled}, "quiet", "stopped"},
		{operate.JobReport{State: jobs.Failed, Phase: "fetch"}, "bad", "failed at fetch"},
		{operate.JobReport{State: jobs.Queued}, "quiet", "waits"},
		{operate.JobReport{State: jobs.Running}, "busy", "running"},
	} {
		if got := jobOf(c.report); got.Class != c.class || got.Outcome != c.outcome {
			t.Errorf("%+v is %s, %s", c.report, got.Class, got.Outcome)
		}
	}
	j := jobOf(operate.JobReport{State: jobs.Running, DoneBytes: 40, TotalBytes: 100, Seconds: 1000, PhaseSeconds: 4})
	if !j.Known || j.Percent != 40 || j.Rate != 10 || j.Left != 6*time.Second {
		t.Errorf("%+v", j)
	}
	j = jobOf(operate.JobReport{State: jobs.Running, DoneBytes: 40, PhaseSeconds: 0.1})
	if j.Known || j.Rate != 0 || j.Left != 0 {
		t.Errorf("of what is not known yet: %+v", j)
	}
	j = jobOf(operate.JobReport{ID: "7", Repository: "a.io/x", Reference: "sha256:00"})
	if j.What != "a.io/x@sha256:00" || j.Link != "" {
		t.Errorf("by digest: %+v", j)
	}
}

// Counts are shown alike, whatever holds them.
func TestCount(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]any{"1,000": 1000, "12,345,678": int64(12345678), "7": 7, "-1,000": -1000} {
		if got := counted(n); got != want {
			t.Errorf("%v: %q", n, got)
		}
	}
}

// The map of a phone has names, too.
func TestTreemapOfPhones(t *testing.T) {
	t.Parallel()
	var layers []operate.LayerReport
	for i := range 20 {
		layers = append(layers, operate.LayerReport{Size: int64(20-i) * 1000, Name: "component"})
	}
	m := mapOf(layers, phoneWidth, phoneHigh)
	if m.Width != phoneWidth || m.Boxes[0].Label == "" || m.Boxes[5].Label == "" {
		t.Errorf("%+v", m.Boxes[:6])
	}
}

// Boxes fill the map, do not overlap, and are as large as their layers.
func TestTreemap(t *testing.T) {
	t.Parallel()
	layers := []operate.LayerReport{{Size: 0, Name: "empty"}}
	for i := range 70 {
		layers = append(layers, operate.LayerReport{Size: int64(1+i*i) * 1000, Name: "component", Heat: float64(i) / 70})
	}
	m := mapOf(layers, mapWidth, mapHeight)
	total, area := 0.0, 0.0
	for _, b := range m.Boxes {
		total += float64(b.Size)
		area += b.Width * b.Height
	}
	if len(m.Boxes) != 70 || area < 0.999*mapWidth*mapHeight || area > 1.001*mapWidth*mapHeight {
		t.Fatalf("%d boxes of %.0f", len(m.Boxes), area)
	}
	for i, a := range m.Boxes {
		want := float64(a.Size) / total * area
		if got := a.Width * a.Height; got < 0.999*want || got > 1.001*want {
			t.Errorf("box %d is %.1f, want %.1f", i, got, want)
		}
		if a.X < -1e-6 || a.Y < -1e-6 || a.X+a.Width > mapWidth+1e-6 || a.Y+a.Height > mapHeight+1e-6 {
			t.Errorf("box %d is outside", i)
		}
		for _, b := range m.Boxes[:i] {
			if min(a.X+a.Width, b.X+b.Width)-max(a.X, b.X) > 1e-6 && min(a.Y+a.Height, b.Y+b.Height)-max(a.Y, b.Y) > 1e-6 {
				t.Errorf("boxes overlap: %+v %+v", a, b)
			}
		}
	}
	if got := mapOf(nil, mapWidth, mapHeight); len(got.Boxes) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// A link that leads elsewhere leads to the first page.
func TestInside(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/jobs": "/jobs", "/repositories/a.io/x:y?did=hold#z": "/repositories/a.io/x:y?did=hold#z", "": "/",
		"https://evil.example/": "/", "//evil.example/": "/", "/\\evil.example/": "/", "jobs": "/",
		"javascript:alert(1)": "/",
		"/login":              "/", "/a\r\nb": "/",
	} {
		if got := inside(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func FuzzInside(f *testing.F) {
	f.Add("/jobs")
	f.Add("//x")
	f.Fuzz(func(t *testing.T, next string) {
		if got := inside(next); got[0] != '/' || len(got) > 1 && (got[1] == '/' || got[1] == '\\') {
			t.Errorf("%q leads to %q", next, got)
		}
	})
}

// Columns stand in the order of their days, as high as what would have been sent, and never above the top.
func TestChart(t *testing.T) {
	t.Parallel()
	c := chartOf([]catalog.SavedDay{{Day: "2026-01-01", Sent: 1e6}, {Day: "not a day"},
		{Day: "2026-05-01", Sent: 10, Source: 100}, {Day: "2026-05-03", Sent: 50, Source: 40}, {Day: "2026-05-04"}})
	if c.Most != 100 || len(c.Columns) != 3 {
		t.Fatalf("%+v", c)
	}
	for i, col := range c.Columns {
		if col.SavedY < -1e-6 || col.SentY+col.SentHeight > chartHeight+1e-6 || col.X+col.Width > chartWidth ||
			i > 0 && col.X < c.Columns[i-1].X+c.Columns[i-1].Width {
			t.Errorf("column %d is %+v", i, col)
		}
	}
	if first := c.Columns[0]; first.Saved != 90 || first.SentHeight != 16 || first.SavedHeight != 144 {
		t.Errorf("%+v", first)
	}
	if c.Columns[1].SavedHeight != 0 || c.Columns[1].Saved != -10 {
		t.Errorf("what cost more: %+v", c.Columns[1])
	}
	if chartOf(nil) != nil || chartOf([]catalog.SavedDay{{Day: "2026-05-01"}}) != nil {
		t.Error("nothing is drawn")
	}
}

// A version that was withdrawn reaches nobody, and those that no step reaches get the oldest.
func TestGiven(t *testing.T) {
	t.Parallel()
	rolled := func(digest string, share float64, withdrawn bool) operate.RolledReport {
		v := operate.RolledReport{Digest: digest, Share: share}
		if withdrawn {
			if err := json.Unmarshal([]byte(`{"by":"kim"}`), &v.Withdrawn); err != nil {
				t.Fatal(err)
			}
		}
		return v
	}
	for want, versions := range map[string][]operate.RolledReport{
		"[]":                                   nil,
		"[{ a  1}]":                            {rolled("a", 1, false), rolled("b", .5, true)},
		"[{ b  1}]":                            {rolled("a", 1, false), rolled("b", 1, false)},
		"[{ b  0.25} { a  0.75}]":              {rolled("a", 1, false), rolled("b", .25, false), rolled("c", 0, false)},
		"[{ c  0.25} { b  0.375} { a  0.375}]": {rolled("a", 1, false), rolled("b", .5, false), rolled("c", .25, false)},
	} {
		if got := fmt.Sprint(givenOf(versions)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// References lose what the page's title says.
func TestTagOn(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"a.io/x", "a.io/x:y", ":y"}, {"a.io/x:z", "a.io/x:y", ":y"}, {"a.io/xx", "a.io/x:y", "a.io/x:y"},
		{"family", "a.io:5000/x:y", "a.io:5000/x:y"}, {"a.io/x", "", ""},
	} {
		if got := tagOn(c[0], c[1]); got != c[2] {
			t.Errorf("%s on %s: %s", c[1], c[0], got)
		}
	}
}

// What waits comes after what runs, and is counted as it is listed.
func TestCounts(t *testing.T) {
	t.Parallel()
	all := []job{jobOf(operate.JobReport{ID: "1", State: jobs.Queued}),
		jobOf(operate.JobReport{ID: "2", State: jobs.Running}),
		jobOf(operate.JobReport{ID: "3", State: jobs.Queued, Kind: operate.KindWarm})}
	sortJobs(all)
	c := jobs.Counts{Running: 7, Done: 3}
	count(&c, all)
	if c.Running != 1 || c.Queued != 2 || c.Done != 3 || all[0].ID+all[1].ID+all[2].ID != "213" {
		t.Errorf("%+v %+v", c, all)
	}
}

// A job leads to its tag, once that is known.
func TestLinked(t *testing.T) {
	t.Parallel()
	list := []job{jobOf(operate.JobReport{Repository: "a.io/x", Reference: "y"}),
		jobOf(operate.JobReport{Repository: "a.io/x", Reference: "first"}), jobOf(operate.JobReport{ID: "7"})}
	linked([]operate.RepositoryReport{{Name: "a.io/x", Tags: []operate.TagReport{{Tag: "y"}}}}, list)
	if list[0].Link != "/repositories/a.io/x:y" || list[1].Link != "" || list[2].Link != "" {
		t.Errorf("%+v", list)
	}
}

// On a plain listener the commands say so.
func TestCommands(t *testing.T) {
	t.Parallel()
	if got := commands("p:5000/x:y", true)[1].Line; got != "podman pull --tls-verify=false p:5000/x:y" {
		t.Error(got)
	}
	if got := commands("p/x:y", false)[1].Line; got != "podman pull p/x:y" {
		t.Error(got)
	}
}
