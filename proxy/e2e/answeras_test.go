package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority writes a certificate authority and certificates of it, as PEM files in a directory.
type authority struct {
	tb   testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb, dir: tb.TempDir()}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(template, template, a.key, "ca.crt")
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey, name string) *x509.Certificate {
	a.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	a.write(name, "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	a.tb.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(a.path(name), text, 0o600); err != nil {
		a.tb.Fatal(err)
	}
}

// issue writes HOST.crt and HOST.key.
func (a *authority) issue(host string) {
	a.tb.Helper()
	key := a.newKey()
	a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key, host+".crt")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	a.write(host+".key", "PRIVATE KEY", der)
}

// spareAddress is an address of this machine on which nobody listens at the port of HTTPS.
func spareAddress(tb testing.TB) string {
	tb.Helper()
	var err error
	for i := range 20 {
		ip := fmt.Sprintf("127.%d.%d.7", 64+os.Getpid()%64, i+1)
		var l net.Listener
		if l, err = net.Listen("tcp", ip+":443"); err == nil {
			_ = l.Close()
			return ip
		}
	}
	tb.Skipf("no address to listen on: %v", err)
	return ""
}

// Where DNS leads a registry's name to the proxy, skopeo and podman pull by that name with nothing but the authority of the
// proxy's certificate, tokens of the registry included; the proxy's own name goes on leading to all registries.
func TestAnswerAs(t *testing.T) {
	t.Parallel()
	need(t, "skopeo", "unshare", "curl")
	needRoot(t)
	a, ip := newAuthority(t), spareAddress(t)
	a.issue("proxy.example")
	a.issue(upstreamHost)
	u := newSeries(t)
	newProxy(t, u, proxyOptions{env: []string{"STRATA_LISTEN=" + ip + ":443"}, top: fmt.Sprintf(`
answer_as: [%[1]s]
tls:
  cert_file: %[2]s/proxy.example.crt
  key_file: %[2]s/proxy.example.key
  certificates: [{cert_file: %[2]s/%[1]s.crt, key_file: %[2]s/%[1]s.key}]
`, upstreamHost, a.dir)})
	h := newHost(t)
	for _, name := range []string{upstreamHost, "proxy.example"} {
		ca, err := os.ReadFile(a.path("ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		h.write("etc/containers/certs.d/"+name+"/ca.crt", string(ca))
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s proxy.example\n", ip, upstreamHost)
	if err := os.WriteFile(h.path("hosts"), []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(program string, args ...string) string {
		t.Helper()
		const mount = `mount --bind "$0" /etc/hosts && exec "$@"`
		out, err := h.run("sh", append([]string{"-c", mount, h.path("hosts"), program}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	inspect := func(image string, flags ...string) string {
		t.Helper()
		return run("skopeo", append(append([]string{"inspect", "--format", "{{.Digest}}"}, flags...), "docker://"+image)...)
	}
	served := inspect(upstreamHost + "/os/image:v1")
	for image, flags := range map[string][]string{
		"proxy.example/" + upstreamHost + "/os/image:v1": nil,
		"proxy.example/os/image:v1":                      nil,
		upstreamHost + "/os/image@" + served:             nil,
		upstreamHost + "/os/image:v1":                    {"--registry-token", "djE6dG9rZW4="},
	} {
		if got := inspect(image, flags...); got != served {
			t.Errorf("%s: %s, want %s", image, got, served)
		}
	}
	run("skopeo", "copy", "--quiet", "docker://"+upstreamHost+"/os/image:v1", "oci:"+h.root+"/layout:1")
	answer := run("curl", "-sS", "--cacert", a.path("ca.crt"), "-H", "Authorization: Bearer x", "-o", "/dev/null",
		"-w", "%{http_code} %{ssl_verify_result}", "https://"+upstreamHost+"/v2/")
	if answer != "200 0" {
		t.Errorf("curl: %s", answer)
	}
	// DNS is all that it takes; a path and ?ns= lead to the same, mixed with each other.
	for _, at := range []string{
		upstreamHost + "/v2/os/image/manifests/v1", upstreamHost + "/v2/os/image/manifests/v1?ns=" + upstreamHost,
		"proxy.example/v2/" + upstreamHost + "/os/image/manifests/v1", "proxy.example/v2/os/image/manifests/v1",
		"proxy.example/v2/os/image/manifests/v1?ns=" + upstreamHost,
	} {
		host, _, _ := strings.Cut(at, "/")
		got := command(t, nil, "curl", "-sS", "--resolve", host+":443:"+ip, "--cacert", a.path("ca.crt"), "-o", "/dev/null",
			"-H", "Accept: application/vnd.oci.image.manifest.v1+json", "-w", "%header{docker-content-digest}",
			"https://"+at)
		if got != served {
			t.Errorf("%s: %q, want %s", at, got, served)
		}
	}
	m := newPodman(t)
	pull := append([]string{"CONTAINERS_STORAGE_CONF=" + m.dir + "/storage.conf", "podman"},
		m.args("pull", "--quiet", "--signature-policy", m.dir+"/policy.json", upstreamHost+"/os/image:v1")...)
	if id := run("env", pull...); id == "" {
		t.Error("podman pulled nothing")
	}
}
