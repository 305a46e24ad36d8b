package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// interposer answers a proxy's clients in its place where it has a document for the end of a path, an empty one for 404; a
// media type alone stands for a server's error. The rest is the proxy's.
type interposer map[string]document

// cut starts it before a proxy and returns its address.
func (w interposer) cut(tb testing.TB, p *proxy) string {
	tb.Helper()
	to, err := url.Parse("http://" + p.Clients)
	if err != nil {
		tb.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		d, ok := w[path.Base(r.URL.Path)]
		switch {
		case !ok:
			proxy.ServeHTTP(out, r)
		case d.mediaType == "":
			http.NotFound(out, r)
		case d.raw == nil:
			http.Error(out, "broken", http.StatusInternalServerError)
		default:
			out.Header().Set("Content-Type", d.mediaType)
			out.Header().Set("Docker-Content-Digest", d.digest().String())
			out.Header().Set("Content-Length", fmt.Sprint(len(d.raw)))
			if r.Method != http.MethodHead {
				_, _ = out.Write(d.raw)
			}
		}
	}))
	tb.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// signed puts a signature image in place of that of a digest.
func (w interposer) signed(tb testing.TB, of digest.Digest, by keyPair, payload []byte) {
	tb.Helper()
	signature, err := by.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	built, err := simplesigning.Build([]simplesigning.Signed{{Payload: payload, Signature: signature}})
	if err != nil {
		tb.Fatal(err)
	}
	w[simplesigning.Tag(of)] = document{built.Manifest.MediaType, built.Manifest.Bytes}
	for _, d := range append(built.Payloads, built.Config) {
		w[d.Digest.String()] = document{d.MediaType, d.Bytes}
	}
}

// Whoever sits between the proxy and a host changes nothing that the host's policy does not notice, but for giving it what
// the proxy signed before: skopeo refuses the image.
func TestTamperingsOnTheWire(t *testing.T) {
	t.Parallel()
	signingSkopeo(t)
	ours, wrong := newKeyPair(t), newKeyPair(t)
	u := newUpstream(t)
	source := u.push("os/image:v1", series(false)[0])
	u.push("os/image:v2", series(false)[1])
	p := newProxy(t, u, proxyOptions{rule: "sign: unverified", top: fmt.Sprintf(
		"signing: {key_file: %s, password_file: %s}\n", ours.private, ours.passwordFile())})
	const repository = upstreamHost + "/os/image"
	first := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	second := p.wantManifest("os/image/manifests/v2", http.StatusOK, "rechunked")
	sent := func(ref string) document {
		resp := p.get("os/image/manifests/" + ref)
		b, _ := body(t, resp)
		return document{resp.Header.Get("Content-Type"), b}
	}
	image, signature := sent("v1"), sent(simplesigning.Tag(first))
	var parsed ocispec.Manifest
	if err := json.Unmarshal(signature.raw, &parsed); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(w interposer)
		key    keyPair // of the policy
		want   string
	}{
		"nothing": {func(interposer) {}, ours, ""},
		"another key": {func(w interposer) { w.signed(t, first, wrong, cosignPayload(t, repository, first)) }, ours,
			badSignature},
		"our signature of another image": {func(w interposer) {
			w[simplesigning.Tag(first)] = sent(simplesigning.Tag(second))
		}, ours, "does not match"},
		"signature removed": {func(w interposer) { w[simplesigning.Tag(first)] = document{} }, ours, noSignature},
		"signature withheld": {func(w interposer) { w[simplesigning.Tag(first)] = document{mediaType: "error"} }, ours,
			"500"},
		"signature truncated": {func(w interposer) {
			w[simplesigning.Tag(first)] = document{signature.mediaType,
				signature.raw[:99]}
		}, ours, "JSON"},
		"payload changed": {func(w interposer) {
			payload := parsed.Layers[0].Digest
			w[payload.String()] = document{simplesigning.PayloadType, cosignPayload(t, repository, second)}
		}, ours, "digest mismatch"},
		"the source in its place": {func(w interposer) { w["v1"] = source }, ours, noSignature},
		"the source in its place, our signature beside it": {func(w interposer) {
			w["v1"], w[simplesigning.Tag(source.digest())] = source, signature
		}, ours, "does not match"},
		"an image of somebody's, signed by them": {func(w interposer) {
			evil := smallImage(t, "evil").upload(u, "os/image")
			w["v1"] = evil
			w.signed(t, evil.digest(), wrong, cosignPayload(t, repository, evil.digest()))
		}, ours, badSignature},
		"manifest with a space more": {func(w interposer) {
			w["v1"] = document{image.mediaType, append([]byte(" "), image.raw...)}
		}, ours, noSignature},
		"a key that the host no longer has": {func(interposer) {}, wrong, badSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := interposer{}
			tt.change(w)
			address := w.cut(t, p)
			for _, by := range []string{address + "/" + repository + ":v1", repository + ":v1"} {
				h := newStrictHost(t, address, map[string]string{
					upstreamHost: signedBy(tt.key.public),
					address: strings.ReplaceAll(signedBy(tt.key.public), `"matchRepository"`,
						`"exactRepository", "dockerRepository": "`+repository+`"`),
				})
				err := h.pull(by)
				if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v\nwant %q", by, err, tt.want)
				}
			}
		})
	}
}
