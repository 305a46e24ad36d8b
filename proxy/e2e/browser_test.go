package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// browser is a Chromium with one page. It is told what to do by messages of its DevTools protocol, JSON that ends in a zero
// byte, through a pair of pipes.
type browser struct {
	tb      testing.TB
	to      io.Writer
	from    *bufio.Reader
	session string
	calls   int
}

// newBrowser opens a page.
func newBrowser(tb testing.TB, page string) *browser {
	tb.Helper()
	need(tb, "chromium")
	commands, to, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	from, answers, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	c := exec.CommandContext(tb.Context(), "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe", "--user-data-dir="+tb.TempDir(),
		"about:blank")
	c.ExtraFiles = []*os.File{commands, answers} // 3 and 4
	c.Env = append(os.Environ(), "HOME="+tb.TempDir())
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	for _, f := range c.ExtraFiles {
		_ = f.Close() // the browser has them
	}
	b := &browser{tb: tb, to: to, from: bufio.NewReader(from)}
	tb.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_, _ = to.Close(), from.Close()
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	// Navigating answers once the page has taken the blank one's place, so that no script runs in the blank one.
	var navigated struct{ ErrorText string }
	b.call("Page.navigate", map[string]any{"url": page}, &navigated)
	if navigated.ErrorText != "" {
		tb.Fatalf("%s: %s", page, navigated.ErrorText)
	}
	return b
}

// call sends a command and waits for its answer.
func (b *browser) call(method string, params map[string]any, result any) {
	b.tb.Helper()
	b.calls++
	message, err := json.Marshal(struct {
		ID        int            `json:"id"`
		Method    string         `json:"method"`
		Params    map[string]any `json:"params"`
		SessionID string         `json:"sessionId,omitempty"`
	}{b.calls, method, params, b.session})
	if err != nil {
		b.tb.Fatal(err)
	}
	if _, err := b.to.Write(append(message, 0)); err != nil {
		b.tb.Fatal(err)
	}
	for {
		raw, err := b.from.ReadBytes(0)
		if err != nil {
			b.tb.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(raw[:len(raw)-1], &answer); err != nil {
			b.tb.Fatal(err)
		}
		if answer.ID != b.calls {
			continue // it tells of something
		}
		if answer.Error != nil {
			b.tb.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.tb.Fatal(err)
		}
		return
	}
}

// run runs a script's async function in the page, as if the user had clicked, and returns the text that it returns.
func (b *browser) run(script string) string {
	b.tb.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "(async () => {" + script + "})()", "awaitPromise": true,
		"returnByValue": true, "userGesture": true}, &out)
	if out.ExceptionDetails != nil {
		b.tb.Fatalf("%s: %s", script, out.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(out.Result.Value)
}

// awaiting lets scripts wait in the page for a condition.
// A page that is still being read lacks elements: what the condition throws for that says "not yet".
const awaiting = `const until = async (holds) => {
  const condition = () => { try { return holds(); } catch { return false; } };
  for (let i = 0; i < 600 && !condition(); i++) await new Promise((done) => setTimeout(done, 50));
  if (!condition()) throw new Error("it never was: " + holds);
};
`

// In the operators' page the files of a host are shown as /client-config has them, ready to be copied: with the browser's
// clipboard, and without, as pages by plain HTTP are. What is no image is told in a line.
func TestClientConfigInBrowser(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	key := newKeyPair(t)
	p := newProxy(t, newUpstream(t), proxyOptions{top: fmt.Sprintf(
		"signing: {key_file: %s, password_file: %s, names: [\"proxy.example:5000\"]}\n", key.private, key.passwordFile())})
	const image = "ghcr.io/ublue-os/bluefin:stable"
	resp, err := http.Get("http://" + p.Operators + "/client-config?host=proxy.example:5000&image=" + url.QueryEscape(image))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := body(t, resp)
	for _, want := range []string{
		"[[registry.mirror]]", "use-sigstore-attachments: true", `"sigstoreSigned"`, "BEGIN PUBLIC KEY", "hosts.toml",
		"ostreecontainer", "[Image]",
	} {
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(files), want) {
			t.Errorf("%d, without %s: %s", resp.StatusCode, want, files)
		}
	}

	b := newBrowser(t, "http://"+p.Operators+"/")
	var none struct{}
	b.call("Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite",
		"clipboardSanitizedWrite"}, "origin": "http://" + p.Operators}, &none)
	const ask = `const form = document.getElementById("hosts"), out = document.getElementById("hosts-files");
form.elements.image.value = %q;
out.textContent = "";
form.querySelector("button").click();
await until(() => out.textContent !== "");
return out.textContent;`
	b.run(awaiting + `await until(() => document.readyState === "complete" &&
document.getElementById("hosts").elements.host.value === "proxy.example:5000");`)
	if got := b.run(awaiting + fmt.Sprintf(ask, image)); got != string(files) {
		t.Errorf("the page shows\n%s\nwant\n%s", got, files)
	}
	const copying = `let copied = "";
document.addEventListener("copy", () => { copied = getSelection().toString(); }, { once: true });
document.getElementById("hosts-copy").click();
`
	got := b.run(awaiting + copying + `
await new Promise((done) => setTimeout(done, 500)); return copied || navigator.clipboard.readText();`)
	if strings.TrimSpace(got) != strings.TrimSpace(string(files)) {
		t.Errorf("copied: %q", got)
	}
	got = b.run(awaiting + `Object.defineProperty(navigator, "clipboard", { value: undefined });` + copying +
		`await until(() => copied !== ""); return copied;`)
	if strings.TrimSpace(got) != strings.TrimSpace(string(files)) {
		t.Errorf("copied without a clipboard: %q", got)
	}
	if got := b.run(awaiting + fmt.Sprintf(ask, "no image")); !strings.Contains(got, "is no image: write HOST") {
		t.Errorf("a mistake: %q", got)
	}
	if got := b.run(`return document.getElementById("hosts-copy").hidden;`); got != "true" {
		t.Error("a mistake can be copied")
	}
}
