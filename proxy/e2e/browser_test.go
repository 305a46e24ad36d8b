package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/browsertest"
)

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

	b := browsertest.New(t, "http://"+p.Operators+"/setup")
	var none struct{}
	b.Call("Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite",
		"clipboardSanitizedWrite"}, "origin": "http://" + p.Operators}, &none)
	const ask = `const form = document.getElementById("hosts"), out = document.getElementById("hosts-files");
form.elements.image.value = %q;
out.textContent = "";
form.querySelector("button").click();
await until(() => out.textContent !== "");
return out.textContent;`
	b.Run(browsertest.Awaiting + `await until(() => document.readyState === "complete" &&
document.getElementById("hosts").elements.host.value === "proxy.example:5000");`)
	if got := b.Run(browsertest.Awaiting + fmt.Sprintf(ask, image)); got != string(files) {
		t.Errorf("the page shows\n%s\nwant\n%s", got, files)
	}
	const copying = `let copied = "";
document.addEventListener("copy", () => { copied = getSelection().toString(); }, { once: true });
document.getElementById("hosts-copy").click();
`
	got := b.Run(browsertest.Awaiting + copying + `
await new Promise((done) => setTimeout(done, 500)); return copied || navigator.clipboard.readText();`)
	if strings.TrimSpace(got) != strings.TrimSpace(string(files)) {
		t.Errorf("copied: %q", got)
	}
	got = b.Run(browsertest.Awaiting + `Object.defineProperty(navigator, "clipboard", { value: undefined });` + copying +
		`await until(() => copied !== ""); return copied;`)
	if strings.TrimSpace(got) != strings.TrimSpace(string(files)) {
		t.Errorf("copied without a clipboard: %q", got)
	}
	if got := b.Run(browsertest.Awaiting + fmt.Sprintf(ask, "no image")); !strings.Contains(got, "is no image: write HOST") {
		t.Errorf("a mistake: %q", got)
	}
	if got := b.Run(`return document.getElementById("hosts-copy").hidden;`); got != "true" {
		t.Error("a mistake can be copied")
	}
}
