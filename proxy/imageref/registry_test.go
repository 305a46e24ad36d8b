package imageref

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/verify"
)

// anonymous keeps tests from the credentials of whoever runs them.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// startRegistry runs a registry, through wrap if it is not nil, and returns its host and options for it.
func startRegistry(t testing.TB, wrap func(http.Handler) http.Handler) (string, Options) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), Options{Keychain: anonymous{}}
}

func TestRegistryRoundTrip(t *testing.T) {
	t.Parallel()
	host, opts := startRegistry(t, nil)
	img := makeImage(t, "one", strings.Repeat("two", 100_000))
	ref := host + "/os/image:v1"
	put(t, ref, img, opts)
	put(t, ref, img, opts) // all there already
	wantImage(t, "docker://"+ref, img, opts)
	wantImage(t, host+"/os/image@"+img.digest().String(), img, opts)
	put(t, host+"/os/image@"+img.digest().String(), img, opts)

	d, err := mustParse(t, host+"/os/image@"+digest.FromString("x").String()).Create(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	err = d.PutManifest(t.Context(), img.mediaType, img.manifest)
	wantError(t, err, img.digest().String(), "give a tag instead")
	wantError(t, d.PutManifest(t.Context(), "x", nil), "not valid JSON")
	if has, err := d.Has(t.Context(), digest.FromString("nowhere")); has || err != nil {
		t.Errorf("has %v, %v", has, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestRegistryPlatforms(t *testing.T) {
	t.Parallel()
	host, opts := startRegistry(t, nil)
	index, digests := platformIndex(t, "linux/amd64", "linux/arm64")
	ref, err := name.ParseReference(host + "/os/image:v1")
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	if err := remote.WriteIndex(ref, index, remote.WithTransport(tr)); err != nil {
		t.Fatal(err)
	}
	opts.Platform = "linux/arm64"
	src, err := mustParse(t, ref.String()).Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, d := src.Manifest(); d.String() != digests["linux/arm64"].String() {
		t.Errorf("got %s", d)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	opts.Platform = "linux/s390x"
	_, err = mustParse(t, ref.String()).Open(t.Context(), opts)
	wantError(t, err, "linux/s390x", "there is linux/amd64, linux/arm64", host)
}

func TestRegistryErrors(t *testing.T) {
	t.Parallel()
	var mode atomic.Value
	mode.Store("")
	d := digest.FromString("layer")
	host, opts := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			blob := strings.HasSuffix(r.URL.Path, "/blobs/"+d.String())
			switch m := mode.Load().(string); {
			case m == "denied" && r.URL.Path != "/v2/":
				http.Error(w, "<html>\n<b>go away\x1b[31m</b>\n"+strings.Repeat("x", 5000), http.StatusForbidden)
			case m == "refused" && r.URL.Path != "/v2/":
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"the image is refused:\nit needs a signature by key SHA256:0123",`+
					`"detail":{"denied_by":"verify"}}]}`)
			case m == "limited" && r.URL.Path != "/v2/":
				w.WriteHeader(http.StatusTeapot)
			case m == "wrong" && blob:
				fmt.Fprint(w, "LAYER")
			case m == "long" && blob:
				fmt.Fprint(w, "layer and more")
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	img := makeImage(t, "layer")
	ref := host + "/os/image:v1"
	put(t, ref, img, opts)

	_, err := mustParse(t, host+"/os/image:v2").Open(t.Context(), opts)
	wantError(t, err, "open docker://"+host, "check the name and the tag")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("%v is not ErrNotFound", err)
	}
	mode.Store("denied")
	_, err = mustParse(t, ref).Open(t.Context(), opts)
	wantError(t, err, "podman login "+host, "go away")
	if len(err.Error()) > 2*maxAnswer {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
	mode.Store("refused")
	_, err = mustParse(t, ref).Open(t.Context(), opts)
	wantError(t, err, "it needs a signature by key SHA256:0123", host)
	for _, not := range []string{"map[", "podman login", "check the name", "\n"} {
		if strings.Contains(err.Error(), not) {
			t.Errorf("%q in %v", not, err)
		}
	}
	mode.Store("limited")
	_, err = mustParse(t, ref).Open(t.Context(), opts)
	wantError(t, err, "418")

	mode.Store("")
	src, err := mustParse(t, ref).Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.Blob(t.Context(), digest.FromString("nowhere"), 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing blob: %v", err)
	}
	for _, m := range []string{"wrong", "long"} {
		mode.Store(m)
		got, err := readBlob(t.Context(), src, d, 5)
		if err == nil || len(got) != 0 {
			t.Errorf("%s blob: %q, %v", m, got, err)
		}
	}
	mode.Store("")
	if _, err := readBlob(t.Context(), src, d, 4); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("other size: %v", err)
	}
}

func TestPushStreams(t *testing.T) {
	t.Parallel()
	host, opts := startRegistry(t, nil)
	d, err := mustParse(t, host+"/os/image:v1").Create(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	content := strings.Repeat("x", 1<<20)
	desc := ocispec.Descriptor{
		// One that the library would skip.
		MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		Digest:    digest.FromString(content), Size: int64(len(content)),
	}
	for name, wrong := range map[string]string{"other": content[1:] + "y", "short": content[1:], "long": content + "y"} {
		if err := d.PutBlob(t.Context(), desc, io.MultiReader(strings.NewReader(wrong))); !errors.Is(err,
			verify.ErrMismatch) {
			t.Errorf("%s content: %v", name, err)
		}
	}
	pr, pw := io.Pipe()
	go func() {
		_, err := io.Copy(pw, strings.NewReader(content))
		pw.CloseWithError(err)
	}()
	if err := d.PutBlob(t.Context(), desc, pr); err != nil {
		t.Fatal(err)
	}
	if has, err := d.Has(t.Context(), desc.Digest); !has || err != nil {
		t.Errorf("has %v, %v", has, err)
	}
}

// A connection that breaks while a blob is sent costs a second attempt, where the content can be read again.
func TestPushSurvivesBrokenConnection(t *testing.T) {
	t.Parallel()
	var broken atomic.Int32
	host, opts := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch && broken.Add(1) == 1 {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	content := strings.Repeat("x", 1<<20)
	desc := ocispec.Descriptor{Digest: digest.FromString(content), Size: int64(len(content))}
	for _, tc := range []struct {
		name    string
		content io.Reader
		err     string
	}{
		{"stream", io.MultiReader(strings.NewReader(content)), "can't be read twice"}, // first: it stores nothing
		{"seeker", strings.NewReader(content), ""},
	} {
		broken.Store(0)
		d, err := mustParse(t, host+"/os/image:v1").Create(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		err = d.PutBlob(t.Context(), desc, tc.content)
		if tc.err != "" {
			wantError(t, err, tc.err)
		} else if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUploadBodies(t *testing.T) {
	t.Parallel()
	src := bytes.NewReader([]byte("--layer"))
	if _, err := src.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	u, err := newUpload(ocispec.Descriptor{Digest: digest.FromString("layer"), Size: 5}, src)
	if err != nil {
		t.Fatal(err)
	}
	first, err := u.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	second, err := u.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 3)); !errors.Is(err, errUploadEnded) {
		t.Errorf("older body: %v", err)
	}
	if got, err := io.ReadAll(second); err != nil || string(got) != "layer" {
		t.Errorf("newer body: %q, %v", got, err)
	}
	u.end()
	if _, err := second.Read(make([]byte, 3)); !errors.Is(err, errUploadEnded) {
		t.Errorf("body after the end: %v", err)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for host, allowed := range map[string]bool{
		"127.0.0.1:5000": true, "localhost:5000": true, "[::1]:5000": true, "127.9.9.9:5000": true, "a.localhost": true,
		"10.0.0.1": false, "192.168.1.1:5000": false, "registry.example": false, "localhost.example": false,
	} {
		for _, insecure := range []bool{false, true} {
			reached := false
			guard := &schemeGuard{insecure: insecure, base: transportFunc(func(*http.Request) (*http.Response, error) {
				reached = true
				return nil, errors.New("end of test")
			})}
			body := &closeRecorder{}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/v2/", body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = guard.RoundTrip(req)
			if reached != (allowed || insecure) {
				t.Errorf("%s, insecure %v: reached %v", host, insecure, reached)
			}
			if !reached {
				wantError(t, err, "plain HTTP to "+host+" is refused")
				if !body.closed {
					t.Errorf("%s: the request's body was not closed", host)
				}
			}
		}
	}
}

type closeRecorder struct{ closed bool }

func (c *closeRecorder) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closeRecorder) Close() error             { c.closed = true; return nil }

// The library tries plain HTTP on private networks; the guard doesn't let it.
func TestPrivateNetworkNeedsInsecure(t *testing.T) {
	t.Parallel()
	opts := Options{Keychain: anonymous{}, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme != "https" {
			t.Errorf("%s was asked", r.URL)
		}
		return nil, errors.New("no TLS there")
	})}
	_, err := mustParse(t, "10.0.0.1:5000/x").Open(t.Context(), opts)
	wantError(t, err, "plain HTTP to 10.0.0.1:5000 is refused", "no TLS there")
}

func TestInsecureTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "https://") + "/os/image:v1"
	opts := Options{Keychain: anonymous{}, Insecure: true}
	img := makeImage(t, "layer")
	put(t, ref, img, opts)
	wantImage(t, ref, img, opts)
	opts.Insecure = false
	_, err := mustParse(t, ref).Open(t.Context(), opts)
	wantError(t, err, "certificate")
}

func TestRegistryContext(t *testing.T) {
	t.Parallel()
	host, opts := startRegistry(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mustParse(t, host+"/x").Open(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}

func TestPodmanCredentials(t *testing.T) {
	var user atomic.Value
	host, opts := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, password, ok := r.BasicAuth()
			if !ok || password != "sesame" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			user.Store(name)
			next.ServeHTTP(w, r)
		})
	})
	opts.Keychain = nil
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("REGISTRY_AUTH_FILE", home+"/auth.json")
	// "alibaba:sesame"
	auth := fmt.Sprintf(`{"auths":{%q:{"auth":"YWxpYmFiYTpzZXNhbWU="}}}`, host)
	if err := os.WriteFile(home+"/auth.json", []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
	img := makeImage(t, "layer")
	put(t, host+"/os/image:v1", img, opts)
	wantImage(t, host+"/os/image:v1", img, opts)
	if got := user.Load(); got != "alibaba" {
		t.Errorf("user %q", got)
	}
}
