package client

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// behind makes the upstream another Strata.
func behind(s *setup) { s.config.Via = true }

// wallet has a login for every host.
type wallet struct{}

func (wallet) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "me", Password: "for-" + r.RegistryStr()}), nil
}

// Behind another Strata names stay those of the registry, and its logins are never sent there.
func TestVia(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if _, password, ok := r.BasicAuth(); !ok || strings.Contains(password, testRepo.Host()) {
			if ok {
				t.Errorf("the registry's password was sent: %s", password)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="strata"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "")
			return
		}
		_, _ = w.Write([]byte("blob"))
	})
	c, _ := client(t, srv.URL, behind, func(s *setup) { s.options.Keychain = wallet{} })
	body, _, err := c.Blob(t.Context(), testRepo, digest.FromString("blob"), 4)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := readAll(t, body); err != nil || string(b) != "blob" {
		t.Errorf("%q, %v", b, err)
	}
	want := "/v2/registry.test/org/app/blobs/" + digest.FromString("blob").String()
	if diff := cmp.Diff([]string{want, want}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestDelta(t *testing.T) {
	t.Parallel()
	layer, seed := digest.FromString("layer"), digest.FromString("seed")
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		want   Delta
		kind   upstream.Kind
	}{
		"a delta": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", deltaMediaType)
			w.Header().Set("Strata-Seed", seed.String())
			_, _ = w.Write([]byte("delta"))
		}, Delta{Seed: seed, Size: 5}, ""},
		"being made": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusAccepted)
		}, Delta{RetryAfter: 7 * time.Second}, ""},
		"none": {func(w http.ResponseWriter) {
			w.Header().Set("Strata-Delta-Refused", "gain")
			refuse(w, http.StatusNotFound, "DELTA_UNKNOWN", "")
		}, Delta{Refused: "gain"}, ""},
		"no such layer": {func(w http.ResponseWriter) { refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "") }, Delta{},
			upstream.NotFound},
		"a reason that is none": {func(w http.ResponseWriter) {
			w.Header().Set("Strata-Delta-Refused", "a page of text")
			refuse(w, http.StatusNotFound, "DELTA_UNKNOWN", "")
		}, Delta{}, upstream.NotFound},
		"a page": {func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }, Delta{}, upstream.Protocol},
		"no seed": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", deltaMediaType)
			_, _ = w.Write([]byte("delta"))
		}, Delta{}, upstream.Protocol},
		"refused": {func(w http.ResponseWriter) { refuse(w, http.StatusForbidden, "DENIED", "") }, Delta{}, upstream.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				if r.URL.Path != deltaPath || q.Get("repository") != testRepo.String() || q.Get("layer") != layer.String() ||
					len(q["seed"]) != 2 || q["seed"][0] != seed.String() || q.Get("worth") != "65536" ||
					r.Header.Get("Strata-Encoders") != "gzip/1.12, xz/5.4.1" || r.Header.Get("Prefer") != "wait=15" {
					t.Errorf("asked for %s, %v", r.URL, r.Header)
				}
				tc.answer(w)
			})
			c, _ := client(t, srv.URL, behind)
			got, err := c.Delta(t.Context(), testRepo, DeltaRequest{
				Layer: layer, Seeds: []digest.Digest{seed, digest.FromString("other")}, Worth: 65536,
				Encoders: []string{"gzip/1.12", "xz/5.4.1"}, Wait: time.Minute,
			})
			if tc.kind != "" {
				wantKind(t, err, tc.kind)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Body != nil {
				if b, err := readAll(t, got.Body); err != nil || string(b) != "delta" {
					t.Errorf("%q, %v", b, err)
				}
				got.Body = nil
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeltaFormats(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		says   string
	}{"a Strata": {http.StatusOK, "1"}, "a registry": {http.StatusOK, ""}, "none": {http.StatusNotFound, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				setHeader(w.Header(), "Strata-Deltas", tc.says)
				w.WriteHeader(tc.status)
			})
			c, _ := client(t, srv.URL, behind)
			if got, err := c.DeltaFormats(t.Context(), testRepo); got != tc.says || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	c, _ := client(t, "http://127.0.0.1:1", behind)
	if _, err := c.DeltaFormats(t.Context(), testRepo); err == nil || errors.Is(err, upstream.ErrVerify) {
		t.Error(err)
	}
}

// A delta that has begun and falls silent is given up after its own time, not the host's.
func TestDeltaFallsSilent(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Strata-Layers") != "a 1, b 2" {
			t.Errorf("asked with %v", r.Header)
		}
		w.Header().Set("Content-Type", deltaMediaType)
		w.Header().Set("Strata-Seed", digest.FromString("seed").String())
		_, _ = w.Write([]byte("begun"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	c, _ := client(t, srv.URL, behind, func(s *setup) { s.config.Timeout = time.Hour })
	d, err := c.Delta(t.Context(), testRepo, DeltaRequest{
		Layer: digest.FromString("layer"), Seeds: []digest.Digest{digest.FromString("seed")}, Layers: []string{"a 1", "b 2"},
		Silence: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := readAll(t, d.Body); !errors.Is(err, upstream.ErrStalled) {
		t.Errorf("%q, %v", b, err)
	}
}

// Another Strata says whether the way leads back; all else is no.
func TestLeadsBack(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{
		http.StatusLoopDetected: true, http.StatusOK: false, http.StatusNotFound: false,
	} {
		var path, asked string
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			path, asked = r.URL.Path, r.Header.Get("Strata-Way")
			w.WriteHeader(status)
		})
		c, _ := client(t, srv.URL, behind)
		if got, err := c.LeadsBack(t.Context(), testRepo); got != want || err != nil || path != "/v2/" ||
			asked != testRepo.String() {
			t.Errorf("%d: %t, %v, asked %s for %s", status, got, err, path, asked)
		}
	}
}
