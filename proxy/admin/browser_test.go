package admin

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/browsertest"
	"github.com/strata-oci/strata/proxy/operate"
)

var pictures = flag.String("pictures", "", "write pictures of the pages into this directory")

// pagePaths are the pages of a world that is at work.
func pagePaths() map[string]string {
	name := bluefin().Name
	return map[string]string{
		"overview": "/", "repositories": "/repositories", "repository": "/repositories/" + name,
		"tag": "/repositories/" + name + ":stable", "version": "/versions/" + digest("a") + "?changes=1&from=" + digest("b"),
		"jobs":  "/jobs",
		"fleet": "/fleet", "deltas": "/deltas", "setup": "/setup?host=proxy.example&image=ghcr.io/ublue-os",
		"login":   "/login",
		"nothing": "/repositories/a.io/none",
	}
}

// looks are how pages are looked at.
var looks = []struct {
	name          string
	width, height int
	dark          bool
}{
	{"desktop", 1280, 900, false}, {"desktop-dark", 1280, 900, true}, {"phone", 390, 844, false},
	{"phone-dark", 390, 844, true},
}

// Each page is shown in each state, on a desktop and on a phone, light and dark, without anything that axe finds fault with.
func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, "about:blank")
	b.WatchFaults()
	script := ""
	t.Run("axe", func(t *testing.T) { script = browsertest.Axe(t) })
	for _, state := range []string{"empty", "busy", "failing", "upstream down", "full disk", "1,000 repositories"} {
		_, s := serve(t, worldOf(state).options())
		for name, path := range pagePaths() {
			if state != "busy" && state != "empty" &&
				!slices.Contains([]string{"overview", "repositories", "repository", "tag", "jobs"}, name) {
				continue // as it is when busy
			}
			b.Open(s.URL + path)
			for _, l := range looks {
				b.Size(l.width, l.height, l.dark)
				look := fmt.Sprintf("%s, %s, %s", name, state, l.name)
				for _, fault := range b.Faults() {
					t.Errorf("%s: %s", look, fault)
				}
				if script != "" {
					for _, f := range b.Findings(script) {
						t.Errorf("%s: %s", look, f)
					}
				}
				if *pictures != "" {
					file := strings.NewReplacer(", ", "-", " ", "-").Replace(strings.ReplaceAll(look, "1,000", "1000"))
					small, err := browsertest.Small(b.Picture(), 1200)
					if err == nil {
						err = os.WriteFile(filepath.Join(*pictures, file+".png"), small, 0o644)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// What changes is shown without a reload: nothing that the operator does is lost, and what stays is not touched.
func TestPageIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	w := worldOf("busy")
	shown := make(chan *world, 1)
	shown <- w
	o := w.options()
	o.Status = &changing{shown}
	_, s := serve(t, o)
	b := browsertest.New(t, s.URL+"/jobs")
	b.Run(browsertest.Awaiting + `
await until(() => document.body.classList.contains("scripted"));
window.mark = document.querySelector("#ended-title");
const input = document.querySelector("main input[name=reference]");
input.value = "half typed";
input.focus();
getSelection().selectAllChildren(document.querySelector("#job-7 td"));`)
	next := worldOf("busy")
	next.jobs[0].DoneBytes = 9e8
	next.jobs = append([]operate.JobReport{{ID: "11", Kind: operate.KindWarm, Reference: "a.io/new:tag", State: "queued"}},
		next.jobs...)
	<-shown
	shown <- next
	got := b.Run(browsertest.Awaiting + `
await until(() => document.querySelector("#job-11") && document.querySelector("#job-9").textContent.includes("90 %"));
const input = document.querySelector("main input[name=reference]");
return [mark.isConnected, input.value, document.activeElement === input, getSelection().toString().includes("bluefin")].join(" ");`)
	if got != "true half typed true true" {
		t.Errorf("after the change: %s", got)
	}
}

// changing is a world that becomes another one.
type changing struct{ now chan *world }

func (c *changing) get() *world {
	w := <-c.now
	c.now <- w
	return w
}

// Status implements Status.
func (c *changing) Status(ctx context.Context) (operate.StatusReport, error) {
	return c.get().Status(ctx)
}

// Repositories implements Status.
func (c *changing) Repositories(ctx context.Context) ([]operate.RepositoryReport, error) {
	return c.get().Repositories(ctx)
}

// Repository implements Status.
func (c *changing) Repository(ctx context.Context, name string) (*operate.RepositoryDetail, error) {
	return c.get().Repository(ctx, name)
}

// Image implements Status.
func (c *changing) Image(ctx context.Context, d string) (*operate.VersionDetail, error) {
	return c.get().Image(ctx, d)
}

// Jobs implements Status.
func (c *changing) Jobs(ctx context.Context) []operate.JobReport { return c.get().Jobs(ctx) }

// Deltas implements Status.
func (c *changing) Deltas(ctx context.Context) operate.DeltaReport { return c.get().Deltas(ctx) }

// Lists are searched while one types, the address says what for, and keys lead through pages and lists.
func TestKeysAndSearch(t *testing.T) {
	t.Parallel()
	_, s := serve(t, worldOf("1,000 repositories").options())
	b := browsertest.New(t, s.URL+"/")
	got := b.Run(browsertest.Awaiting + `
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
await until(() => document.body.classList.contains("scripted"));
press("?");
const help = document.querySelector("dialog").open;
document.querySelector("dialog button").click();
await until(() => !document.querySelector("dialog"));
return help;`)
	if got != "true" {
		t.Errorf("help is shown: %s", got)
	}
	b.Follow(`for (const key of "gr") document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));`)
	got = b.Run(browsertest.Awaiting + `
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
await until(() => document.body.classList.contains("scripted"));
press("/");
const find = document.activeElement;
find.value = "os-0999";
find.dispatchEvent(new Event("input", { bubbles: true }));
await until(() => document.querySelectorAll("#list tbody tr").length === 1);
const kept = document.activeElement === find && find.value === "os-0999";
find.blur();
press("j");
return [find.id, kept, location.search, document.activeElement.textContent].join(" ");`)
	if got != "find true ?q=os-0999 quay.io/fleet/os-0999" {
		t.Errorf("got %s", got)
	}
}

// Where the listener wants a login, a browser gets a page for it, comes to where it wanted to go, and may leave.
func TestLoginInBrowser(t *testing.T) {
	t.Parallel()
	o := worldOf("busy").options()
	o.Login = token("correct-horse-battery")
	_, s := serve(t, o)
	b := browsertest.New(t, s.URL+"/jobs?x=1")
	const send = `document.querySelector("input[name=secret]").value = %q;
document.querySelector("main button").click();`
	if got := b.Run(`return location.pathname + document.querySelector("input[name=next]").value;`); got != "/login/jobs?x=1" {
		t.Fatalf("a browser without a login is at %s", got)
	}
	b.Follow(fmt.Sprintf(send, "wrong"))
	if got := b.Run(`return location.pathname + !!document.getElementById("wrong");`); got != "/logintrue" {
		t.Fatalf("with a wrong token: %s", got)
	}
	b.Follow(fmt.Sprintf(send, "correct-horse-battery"))
	if got := b.Run(`return location.pathname + !!document.getElementById("ended-title");`); got != "/jobstrue" {
		t.Fatalf("with the token: %s", got)
	}
	if got := b.Run(`return document.cookie + (await fetch("/api/v1/status")).status;`); got != "200" {
		t.Errorf("scripts see the cookie, or the API does not take it: %s", got)
	}
	b.Follow(`document.querySelector("form[action='/logout'] button").click();`)
	if got := b.Run(`return (await fetch("/api/v1/status")).status;`); got != "401" {
		t.Errorf("after the end of the session: %s", got)
	}
}

// All that pages say can be read, found and asked for without scripts.
func TestPagesWithoutScripts(t *testing.T) {
	t.Parallel()
	_, s := serve(t, worldOf("1,000 repositories").options())
	b := browsertest.New(t, "about:blank")
	b.Scripts(false)
	for path, want := range map[string]string{
		"/": "Saved on updates", "/repositories?q=os-0999&sort=saved": "1 of 1,001 repositories",
		"/jobs":                                 "left in this phase",
		"/repositories?page=3":                  "page 3 of 11",
		"/setup?host=p.example&image=ghcr.io/x": "[[registry",
	} {
		var none struct{}
		b.Call("Page.navigate", map[string]any{"url": s.URL + path}, &none)
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var page strings.Builder
		_, _ = fmt.Fprint(&page, readAll(t, resp))
		if !strings.Contains(page.String(), want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
}

// Forms without the token of the page that they were on change nothing.
func TestFormsNeedTheirToken(t *testing.T) {
	t.Parallel()
	o := worldOf("busy").options()
	o.Login = token("x")
	h := New(o)
	defer h.Close()
	post := func(path, form string, cookie *http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, base+path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if got := post("/login", "secret=x", nil); got.Code != 403 {
		t.Errorf("a login from elsewhere: %d", got.Code)
	}
	anonymous := h.sessions.Token(httptest.NewRequest(http.MethodGet, base+"/login", nil))
	got := post("/login", "secret=x&next=/jobs&token="+anonymous, nil)
	if got.Code != 303 || got.Header().Get("Location") != "/jobs" {
		t.Fatalf("logging in: %d %v", got.Code, got.Header())
	}
	cookie := got.Result().Cookies()[0]
	mine := httptest.NewRequest(http.MethodGet, base+"/", nil)
	mine.AddCookie(cookie)
	token := h.sessions.Token(mine)
	for name, c := range map[string]struct {
		path, form string
		cookie     *http.Cookie
		status     int
	}{
		"without a login":      {"/do/warm", "reference=good&token=" + anonymous, nil, 401},
		"without a token":      {"/do/warm", "reference=good", cookie, 403},
		"with nobody's token":  {"/do/warm", "reference=good&token=" + anonymous, cookie, 403},
		"with its token":       {"/do/warm", "reference=good&token=" + token, cookie, 303},
		"of what is no image":  {"/do/warm", "reference=+&token=" + token, cookie, 409},
		"of no such action":    {"/do/harm", "reference=good&token=" + token, cookie, 415},
		"where none roll out":  {"/do/hold", "reference=good&token=" + token, cookie, 409},
		"as a form to the API": {"/api/v1/warm", "reference=good&token=" + token, cookie, 415},
	} {
		if got := post(c.path, c.form, c.cookie); got.Code != c.status {
			t.Errorf("%s: %d, want %d", name, got.Code, c.status)
		}
	}
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
