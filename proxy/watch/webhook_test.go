package watch_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/watch"
)

const (
	secret    = "a long random text"
	eventType = "application/vnd.docker.distribution.events.v2+json"
	ociImage  = "application/vnd.oci.image.manifest.v1+json"
)

func event(action, mediaType, host, repository, tag string) string {
	return fmt.Sprintf(`{"id":"1","action":%q,"target":{"mediaType":%q,"repository":%q,"tag":%q,"digest":"x","references":[{}]},"request":{"host":%q}}`,
		action, mediaType, repository, tag, host)
}

// hook makes a webhook that notes what it passes on.
func hook(refs *[]string) http.Handler {
	return watch.NewWebhook(watch.WebhookOptions{
		Secret: secret, Hosts: func() map[string]string { return map[string]string{"registry.test:5000": "registry.test"} },
		Wanted: func(_ context.Context, repository, tag string) bool {
			return tag != "unwanted" && repository != "registry.test/unknown"
		},
		Notify: func(ref string) error {
			if ref == "registry.test/full:x" {
				return errors.New("too many")
			}
			*refs = append(*refs, ref)
			return nil
		},
	})
}

func post(h http.Handler, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/notifications", strings.NewReader(body))
	r.Header.Set("Content-Type", eventType)
	r.Header.Set("Authorization", "Bearer "+secret)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	var refs []string
	h := hook(&refs)
	body := `{"events":[` + strings.Join([]string{
		event("push", ociImage, "registry.test:5000", "org/os", "stable"),
		event("push", ociImage, "REGISTRY.test:5000", "org/os", "stable"), // again
		event("push", "application/vnd.oci.image.index.v1+json", "registry.test:5000", "org/os", "next"),
		event("pull", ociImage, "registry.test:5000", "org/os", "pulled"),
		event("push", "application/octet-stream", "registry.test:5000", "org/os", "blob"),
		event("push", ociImage, "registry.test:5000", "org/os", ""),
		event("push", ociImage, "elsewhere.test", "org/os", "stable"),
		event("push", ociImage, "", "org/os", "stable"),
		event("push", ociImage, "registry.test:5000", "../../etc", "stable"),
		event("push", ociImage, "registry.test:5000", "org/os@evil.test/x", "stable"),
		event("push", ociImage, "registry.test:5000", "org/os", "a b"),
		event("push", ociImage, "registry.test:5000", "org/os", "unwanted"),
		event("push", ociImage, "registry.test:5000", "unknown", "stable"),
	}, ",") + `]}`
	w := post(h, body)
	if w.Code != http.StatusAccepted || !cmp.Equal([]string{"registry.test/org/os:stable", "registry.test/org/os:next"},
		refs) {
		t.Errorf("%d %s: %q", w.Code, w.Body, refs)
	}
	if w := post(h, `{"events":[`+event("push", ociImage, "registry.test:5000", "full",
		"x")+`]}`); w.Code != http.StatusServiceUnavailable ||
		w.Header().Get("Retry-After") == "" {
		t.Errorf("too many: %d %s", w.Code, w.Body)
	}
}

func TestWebhookRefuses(t *testing.T) {
	t.Parallel()
	body := `{"events":[` + event("push", ociImage, "registry.test:5000", "org/os", "stable") + `]}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	sign := func(signature string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Hub-Signature-256", signature)
		}
	}
	set := func(key, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(key, value) }
	}
	for _, c := range []struct {
		name, body string
		change     func(*http.Request)
		want       int
	}{
		{"signed", body, sign("sha256=" + hex.EncodeToString(mac.Sum(nil))), http.StatusAccepted},
		{"signed wrong", body + " ", sign("sha256=" + hex.EncodeToString(mac.Sum(nil))), http.StatusUnauthorized},
		{"no signature", body, sign(""), http.StatusUnauthorized},
		{"half a signature", body, sign("sha256=ab"), http.StatusUnauthorized},
		{"wrong secret", body, set("Authorization", "Bearer "+secret[1:]), http.StatusUnauthorized},
		{"no secret", body, func(r *http.Request) { r.Header.Del("Authorization") }, http.StatusUnauthorized},
		{"form", body, set("Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType},
		{"GET", body, func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		{"no JSON", body[1:], func(*http.Request) {}, http.StatusBadRequest},
		{"many events", `{"events":[` + strings.Repeat("{},", 1000) + `{}]}`, func(*http.Request) {}, http.StatusBadRequest},
		{"long", body + strings.Repeat(" ", 1<<20), func(*http.Request) {}, http.StatusRequestEntityTooLarge},
	} {
		var refs []string
		w := post(hook(&refs), c.body, c.change)
		if w.Code != c.want || (len(refs) > 0) != (c.want == http.StatusAccepted) ||
			strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: %d %s, %q", c.name, w.Code, w.Body, refs)
		}
	}
}

// Whatever is posted, only tags of configured hosts are passed on.
func FuzzWebhook(f *testing.F) {
	f.Add([]byte(`{"events":[` + event("push", ociImage, "registry.test:5000", "org/os", "stable") + `]}`))
	f.Add([]byte(`{"events":[` + event("push", ociImage, "registry.test:5000", "a@b/c:d", "stable") + `]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var refs []string
		w := post(hook(&refs), string(body))
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", w.Code)
		}
		for _, ref := range refs {
			if !strings.HasPrefix(ref, "registry.test/") || strings.ContainsAny(ref, "@ ") {
				t.Errorf("passed on %q", ref)
			}
		}
	})
}

// Wrong secrets are told of; of too many, the sender is, too.
func TestWrongSecretsAreTold(t *testing.T) {
	t.Parallel()
	told := 0
	h := watch.NewWebhook(watch.WebhookOptions{Secret: secret, Wrong: func(*http.Request) error {
		if told++; told > 2 {
			return errors.New("too many")
		}
		return nil
	}})
	ask := func(header, value string) int {
		return post(h, "{}", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set(header, value)
		}).Code
	}
	got := []int{ask("Authorization", ""), ask("Authorization", "Bearer x"), ask("X-Hub-Signature-256", "sha256=ab"),
		ask("Authorization", "Basic eDp4")}
	if want := []int{401, 401, 401, 429}; !cmp.Equal(got, want) || told != 3 {
		t.Errorf("%v, told %d times", got, told)
	}
}
