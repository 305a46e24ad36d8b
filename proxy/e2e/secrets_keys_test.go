package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// keyMaterial is a private key, and every way to write it that the test looks for.
type keyMaterial struct {
	plain, encrypted []byte // PEM
	texts            map[string][]byte
}

func newKeyMaterial(tb testing.TB, password string) keyMaterial {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	m := keyMaterial{plain: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	private, err := keys.ParsePrivate(m.plain, nil)
	if err == nil {
		m.encrypted, err = private.Encrypt([]byte(password))
	}
	if err != nil {
		tb.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	m.texts = map[string][]byte{"password": []byte(password), "number": []byte(new(big.Int).SetBytes(scalar).String())}
	for what, b := range map[string][]byte{"scalar": scalar, "DER": der} {
		m.texts[what] = b
		m.texts[what+" in hex"] = []byte(hex.EncodeToString(b))
		m.texts[what+" in base64"] = []byte(base64.RawStdEncoding.EncodeToString(b))
		m.texts[what+" in base64 of URLs"] = []byte(base64.RawURLEncoding.EncodeToString(b))
		m.texts[what+" as Go prints bytes"] = []byte(strings.Trim(fmt.Sprint(b), "[]"))
	}
	for what, file := range map[string][]byte{"PEM": m.plain, "encrypted PEM": m.encrypted} {
		lines := strings.Split(strings.TrimSpace(string(file)), "\n")
		for i, line := range lines[1 : len(lines)-1] {
			if len(line) >= 16 {
				m.texts[fmt.Sprintf("%s, line %d", what, i+1)] = []byte(line)
			}
		}
	}
	return m
}

// shows tells what of the key a text has, upper case for lower case.
func (m keyMaterial) shows(text []byte) string {
	low := bytes.ToLower(text)
	for what, secret := range m.texts {
		if bytes.Contains(text, secret) || strings.HasSuffix(what, "hex") && bytes.Contains(low, secret) {
			return what
		}
	}
	return ""
}

// Two keys sign, one encrypted in the environment, one of systemd's credentials; everything is logged, keys and passwords
// are wrong for a while, and people mistake private keys for public ones. Nothing of a key comes out: not in logs, answers,
// metrics, pages and commands, not in the store, an export, or what the program leaves.
func TestKeysStaySecret(t *testing.T) {
	t.Parallel()
	const password = "hush-pass-phrase-7c21d4"
	first, next := newKeyMaterial(t, password), newKeyMaterial(t, password)
	credentials, dir := t.TempDir(), t.TempDir()
	file := func(dir, name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	credential := file(credentials, "next.key", next.plain)
	u := newSeries(t)
	env := []string{"STRATA_LOG_LEVEL=debug", "STRATA_SIGNING_KEY=" + string(first.encrypted), "STRATA_SIGNING_PASSWORD=" +
		password,
		"CREDENTIALS_DIRECTORY=" + credentials}
	p := newProxy(t, u, proxyOptions{env: env, rule: "sign: unverified", top: "signing: {next: {credential: next.key}}\n"})
	var told bytes.Buffer
	run := func(env []string, args ...string) {
		out, err := try(t, env, program, args...)
		fmt.Fprintln(&told, out, err)
	}
	get := func(ref string) {
		resp := p.get("os/image/manifests/" + ref)
		b, _ := body(t, resp)
		fmt.Fprintf(&told, "%v %s\n", resp.Header, b)
	}
	d := p.wantManifest("os/image/manifests/v1", 200, "rechunked")
	get(simplesigning.Tag(d))
	operators := []string{"STRATA_ADMIN_URL=http://" + p.Operators}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", upstreamHost + "/os/image", "--json"},
		{"client-config", p.Clients, upstreamHost + "/os/image"}, {"client-config", "--json", p.Clients}} {
		run(operators, args...)
	}
	file(credentials, "next.key", next.encrypted) // whose password the proxy has not
	get("v2")
	run(operators, "reload")
	file(credentials, "next.key", next.plain[:len(next.plain)/2])
	get("v3")
	run(operators, "reload")
	if err := os.Remove(credential); err != nil {
		t.Fatal(err)
	}
	run(operators, "reload")
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/status", "/api/v1/jobs", "/",
		"/client-config?host=proxy.example"} {
		fmt.Fprintln(&told, p.operatorGet(t, path))
	}
	plain, encrypted := file(dir, "plain.key", first.plain), file(dir, "encrypted.key", first.encrypted)
	broken := file(dir, "broken.key", bytes.Replace(first.plain, []byte("\n"), []byte("\n!"), 2))
	for _, key := range []string{plain, encrypted, broken} {
		run(nil, "client-config", "--key", key, p.Clients)
		run([]string{"STRATA_SIGNING_PASSWORD=" + password + "-wrong"}, "key", "public", key)
		run(nil, "serve", "--check", "--config",
			file(dir, "config.yml", []byte("repositories:\n- match: \"**\"\n  verify: {keys: ["+key+"]}\n")))
		run(nil, "serve", "--check", "--config",
			file(dir, "config.yml", []byte("signing: {password: {a: "+password+"}, key: ["+strings.Split(string(first.plain),
				"\n")[1]+"]}\n")))
		root := t.TempDir()
		for name, text := range map[string]string{"etc/key": readFile(t, key), "etc/containers/policy.json": `{"default":` +
			strings.Replace(signedBy("/etc/key"), `"keyPaths": ["/etc/key"]`, `"keyPath": "/etc/key"`, 1) + `}`} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			file(root, name, []byte(text))
		}
		run(nil, "doctor", "--root", root, p.image("os/image:v1"))
	}
	exported := filepath.Join(dir, "exported.tar")
	run(nil, "export", p.image("os/image:v1"), exported)
	p.Terminate()
	p.Wait()
	for _, line := range p.Log.Find(func(programtest.Line) bool { return true }) {
		fmt.Fprintln(&told, line)
	}
	if n := strings.Count(told.String(), "level:DEBUG"); n == 0 {
		t.Error("nothing was logged in detail")
	}
	left := map[string][]byte{"what was told": told.Bytes(), "the export": []byte(readFile(t, exported))}
	err := filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			left[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(left) < 10 {
		t.Errorf("%d files, %v", len(left), err)
	}
	for where, text := range left {
		for name, key := range map[string]keyMaterial{"first": first, "next": next} {
			if what := key.shows(text); what != "" {
				t.Errorf("%s of the %s key is in %s", what, name, where)
			}
		}
	}
	// The test finds what it looks for.
	if first.shows(append([]byte("x"), first.plain...)) == "" ||
		next.shows([]byte(strings.ToUpper(hex.EncodeToString(next.texts["scalar"])))) == "" {
		t.Error("keys are not found where they are")
	}
}
