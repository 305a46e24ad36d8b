// Package browsertest has a real Chromium look at pages.
package browsertest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Browser is a Chromium with one page. It is told what to do by messages of its DevTools protocol, JSON that ends in a zero
// byte, through a pair of pipes.
type Browser struct {
	tb      testing.TB
	to      io.Writer
	from    *bufio.Reader
	session string
	calls   int
}

// New opens a page. Where there is no Chromium, the test is skipped.
func New(tb testing.TB, page string) *Browser {
	tb.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		tb.Skip("chromium is not installed")
	}
	profile, err := os.MkdirTemp("", "strata-browser")
	if err != nil {
		tb.Fatal(err)
	}
	commands, to, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	from, answers, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	c := exec.CommandContext(tb.Context(), "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe", "--user-data-dir="+profile,
		"about:blank")
	c.ExtraFiles = []*os.File{commands, answers} // 3 and 4
	c.Env = append(os.Environ(), "HOME="+profile)
	// Its children are ended with it, and Wait returns when nobody holds its output any more: nothing writes to the profile
	// then.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.Stdout, c.Stderr, c.WaitDelay = io.Discard, io.Discard, time.Minute
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	for _, f := range c.ExtraFiles {
		_ = f.Close() // the browser has them
	}
	b := &Browser{tb: tb, to: to, from: bufio.NewReader(from)}
	tb.Cleanup(func() {
		_ = c.Cancel()
		_ = c.Wait()
		if err := os.RemoveAll(profile); err != nil {
			tb.Error(err)
		}
		_, _ = to.Close(), from.Close()
	})
	var target struct{ TargetID, SessionID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	b.Open(page)
	return b
}

// Open leads the page elsewhere, and waits until what is there is whole.
func (b *Browser) Open(page string) {
	b.tb.Helper()
	b.Run("window.left = true;")
	var navigated struct{ ErrorText string }
	b.Call("Page.navigate", map[string]any{"url": page}, &navigated)
	if navigated.ErrorText != "" {
		b.tb.Fatalf("%s: %s", page, navigated.ErrorText)
	}
	b.arrive(page)
}

// arrive waits until another page has taken the place of one that is marked as left, and is whole. Until then, the browser
// may run scripts in either, or in none.
func (b *Browser) arrive(by string) {
	b.tb.Helper()
	for range 600 {
		if got, err := b.evaluate(`return !window.left && document.readyState === "complete"`); err == nil && got == "true" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.tb.Fatalf("%s: it leads nowhere", by)
}

// Size makes the window so large, in CSS pixels; dark has the page prefer dark colours.
func (b *Browser) Size(width, height int, dark bool) {
	b.tb.Helper()
	var none struct{}
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1,
		"mobile": width < 600}, &none)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}}}, &none)
}

// Scripts says whether pages that are opened from now on may run scripts.
func (b *Browser) Scripts(run bool) {
	b.tb.Helper()
	var none struct{}
	b.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": !run}, &none)
}

// Picture returns the whole page, what one has to scroll for, too, as a PNG.
func (b *Browser) Picture() []byte {
	b.tb.Helper()
	var page struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	b.Call("Page.getLayoutMetrics", map[string]any{}, &page)
	var out struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": map[string]any{
		"x": 0, "y": 0, "width": page.CSSContentSize.Width, "height": page.CSSContentSize.Height, "scale": 1}}, &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		b.tb.Fatal(err)
	}
	return png
}

// Call sends a command and waits for its answer.
func (b *Browser) Call(method string, params map[string]any, result any) {
	b.tb.Helper()
	if err := b.ask(method, params, result); err != nil {
		b.tb.Fatalf("%s: %v", method, err)
	}
}

// ask is Call, which may fail.
func (b *Browser) ask(method string, params map[string]any, result any) error {
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
			return errors.New(answer.Error.Message)
		}
		return json.Unmarshal(answer.Result, result)
	}
}

// Follow runs a script that leads to another page, as a click does, and waits until that is whole.
func (b *Browser) Follow(script string) {
	b.tb.Helper()
	b.Run("window.left = true;")
	_, _ = b.evaluate("setTimeout(() => {" + script + "});") // the page may be gone before it answers
	b.arrive(script)
}

// Run runs a script's async function in the page, as if the user had clicked, and returns the text that it returns.
func (b *Browser) Run(script string) string {
	b.tb.Helper()
	out, err := b.evaluate(script)
	if err != nil {
		b.tb.Fatalf("%s: %v", script, err)
	}
	return out
}

// evaluate is Run, whose page may be left meanwhile.
func (b *Browser) evaluate(script string) (string, error) {
	b.tb.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := b.ask("Runtime.evaluate", map[string]any{"expression": "(async () => {" + script + "})()", "awaitPromise": true,
		"returnByValue": true, "userGesture": true}, &out)
	if err == nil && out.ExceptionDetails != nil {
		err = errors.New(out.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(out.Result.Value), err
}

// Awaiting lets scripts wait in the page for a condition.
// A page that is still being read lacks elements: what the condition throws for that says "not yet".
const Awaiting = `const until = async (holds) => {
  const condition = () => { try { return holds(); } catch { return false; } };
  for (let i = 0; i < 600 && !condition(); i++) await new Promise((done) => setTimeout(done, 50));
  if (!condition()) throw new Error("it never was: " + holds);
};
`
