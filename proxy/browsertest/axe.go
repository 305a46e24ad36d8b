package browsertest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// axeVersion is of axe-core, which looks for what keeps people from using a page. It is fetched for tests and not kept here.
const axeVersion = "4.14.1"

// Axe returns the script of axe-core, or skips the test where it cannot be had.
func Axe(tb testing.TB) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Skipf("axe-core cannot be kept: %v", err)
	}
	dir := filepath.Join(cache, "strata-axe-"+axeVersion)
	script := filepath.Join(dir, "package", "axe.min.js")
	if b, err := os.ReadFile(script); err == nil {
		return string(b)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Skipf("axe-core cannot be kept: %v", err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", "axe-core@"+axeVersion)
	pack.Dir = dir
	if out, err := pack.CombinedOutput(); err != nil {
		tb.Skipf("axe-core %s cannot be had by npm: %v %s", axeVersion, err, out)
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xzf", filepath.Join(dir, "axe-core-"+axeVersion+".tgz"), "-C", dir,
		"package/axe.min.js").CombinedOutput(); err != nil {
		tb.Skipf("axe-core cannot be unpacked: %v %s", err, out)
	}
	b, err := os.ReadFile(script)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// Findings runs axe in the page that is shown, and returns what it found, a line each. script is what Axe returned.
func (b *Browser) Findings(script string) []string {
	b.tb.Helper()
	b.Run("if (!window.axe) {" + script + "}\nreturn 1;")
	text := b.Run(`const found = await axe.run(document, { resultTypes: ["violations"] });
return JSON.stringify(found.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(" | ")));`)
	return b.lines(text)
}

// WatchFaults has pages that are opened from now on remember what goes wrong while they are shown, for Faults.
func (b *Browser) WatchFaults() {
	b.tb.Helper()
	var none struct{}
	b.Call("Page.enable", map[string]any{}, &none)
	b.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `window.faultsSeen = [];
addEventListener("securitypolicyviolation", (e) => faultsSeen.push("policy: " + e.violatedDirective + " " + e.blockedURI));
addEventListener("error", (e) => faultsSeen.push("script: " + e.message));
addEventListener("unhandledrejection", (e) => faultsSeen.push("promise: " + e.reason));`}, &none)
}

// Faults are what went wrong in the page that is shown: a policy was broken, a script failed, something is wider than the
// window, or runs out of what it is in.
func (b *Browser) Faults() []string {
	b.tb.Helper()
	return b.lines(b.Run(`const told = (all) => all.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" ");
const wide = document.documentElement.scrollWidth > innerWidth + 1 ? ["wider than the window: " +
  told([...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".card")))] : [];
const out = [...document.querySelectorAll(".tile dd, .facts dd, h1, h2, p")].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1);
return JSON.stringify([...(window.faultsSeen || []), ...wide, ...(out.length ? ["runs out: " + told(out)] : [])]);`))
}

// lines decodes what scripts return.
func (b *Browser) lines(text string) (out []string) {
	b.tb.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.tb.Fatalf("%v: %s", err, text)
	}
	return out
}
