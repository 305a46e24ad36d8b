package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

const someIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

var someDigest = digest.FromString(someIndex)

func TestManifestByTagAndDigest(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, want := range []string{imagespec.MediaTypeImageIndex, imagespec.MediaTypeImageManifest, dockerManifest,
			dockerManifestList, "*/*"} {
			if !strings.Contains(r.Header.Get("Accept"), want) {
				t.Errorf("Accept lacks %s", want)
			}
		}
		w.Header().Set("Content-Type", imagespec.MediaTypeImageIndex+"; charset=utf-8")
		w.Header().Set("Docker-Content-Digest", someDigest.String())
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, srv.URL)
	want := Manifest{MediaType: imagespec.MediaTypeImageIndex, Digest: someDigest, Bytes: []byte(someIndex)}
	for _, ref := range []name.Reference{"latest", name.Reference(someDigest)} {
		got, err := c.Manifest(t.Context(), testRepo, ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
}

func TestManifestSHA512(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, someIndex) })
	c, _ := client(t, srv.URL)
	d := digest.SHA512.FromString(someIndex)
	got, err := c.Manifest(t.Context(), testRepo, name.Reference(d))
	if err != nil || got.Digest != d {
		t.Fatalf("got %s, %v", got.Digest, err)
	}
}

func TestManifestRejectsWrongBytes(t *testing.T) {
	t.Parallel()
	other := digest.FromString("other")
	for _, tc := range []struct {
		name, header string
		ref          name.Reference
	}{
		{"digest asked for", "", name.Reference(other)},
		{"digest asked for, header agrees with the lie", other.String(), name.Reference(other)},
		{"header of a tag", other.String(), "latest"},
		{"header of a digest", other.String(), name.Reference(someDigest)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				setHeader(w.Header(), "Docker-Content-Digest", tc.header)
				fmt.Fprint(w, someIndex)
			})
			c, clock := client(t, srv.URL)
			_, err := c.Manifest(t.Context(), testRepo, tc.ref)
			e := wantKind(t, err, upstream.Invalid)
			if e.Transient() || len(clock.waited()) != 0 {
				t.Errorf("wrong bytes were asked for again: %v", err)
			}
		})
	}
}

func TestManifestIsBounded(t *testing.T) {
	t.Parallel()
	big := strings.Repeat(" ", image.MaxDocument+1)
	for _, chunked := range []bool{false, true} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if chunked {
				w.(http.Flusher).Flush()
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			}
			fmt.Fprint(w, big)
		})
		c, _ := client(t, srv.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if e := wantKind(t, err, upstream.TooLarge); !strings.Contains(e.Error(), "4194304") {
			t.Errorf("the message does not name the limit: %v", e)
		}
	}
}

func TestManifestBrokenBodyIsFetchedAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(someIndex)))
		if calls++; calls == 1 {
			fmt.Fprint(w, someIndex[:10])
			return
		}
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, srv.URL)
	m, err := c.Manifest(t.Context(), testRepo, "latest")
	if err != nil || string(m.Bytes) != someIndex {
		t.Fatalf("got %q, %v", m.Bytes, err)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		ref   name.Reference
		head  func(http.ResponseWriter)
		asked string
	}{
		{"plain", "latest", func(w http.ResponseWriter) {
			w.Header().Set("Docker-Content-Digest", someDigest.String())
			w.Header().Set("Content-Length", fmt.Sprint(len(someIndex)))
		}, "HEAD"},
		{"no digest header", "latest", func(http.ResponseWriter) {}, "HEAD GET"},
		{"malformed digest header", "latest", func(w http.ResponseWriter) {
			w.Header().Set("Docker-Content-Digest", "sha256:nonsense")
		}, "HEAD GET"},
		{"other digest than the one asked for", name.Reference(someDigest), func(w http.ResponseWriter) {
			w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
		}, "HEAD GET"},
		{"method not allowed", "latest", func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
			"HEAD GET"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Method)
				w.Header().Set("Content-Type", imagespec.MediaTypeImageIndex)
				if r.Method == http.MethodHead {
					tc.head(w)
					return
				}
				fmt.Fprint(w, someIndex)
			})
			c, _ := client(t, srv.URL)
			got, err := c.Head(t.Context(), testRepo, tc.ref)
			if err != nil {
				t.Fatal(err)
			}
			want := Descriptor{MediaType: imagespec.MediaTypeImageIndex, Digest: someDigest, Size: int64(len(someIndex))}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if got := strings.Join(asked, " "); got != tc.asked {
				t.Errorf("asked %s, want %s", got, tc.asked)
			}
		})
	}
}

func TestMediaType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, header, body, want string }{
		{"body over header", "application/json", someIndex, imagespec.MediaTypeImageIndex},
		{"header alone", imagespec.MediaTypeImageManifest, `{"schemaVersion":2}`, imagespec.MediaTypeImageManifest},
		{"parameters go", imagespec.MediaTypeImageManifest + "; charset=utf-8", `{}`, imagespec.MediaTypeImageManifest},
		{"index by shape", "text/plain", `{"manifests":[]}`, imagespec.MediaTypeImageIndex},
		{"image by shape", "", `{"config":{},"layers":[]}`, imagespec.MediaTypeImageManifest},
		{"ambiguous shape (CVE-2021-41190)", "", `{"manifests":[],"config":{},"layers":[]}`, "application/octet-stream"},
		{"header injection", "", `{"mediaType":"a/b\r\nX: y"}`, "application/octet-stream"},
		{"no JSON", "application/json", `<html>`, "application/octet-stream"},
	} {
		h := http.Header{}
		h.Set("Content-Type", tc.header)
		if got := mediaType(h, []byte(tc.body)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestInvalidNamesAreNotSent(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
	c, _ := client(t, srv.URL)
	for _, ref := range []name.Reference{"", "../x", "a/b", "sha256:12", "sha999:" + name.Reference(strings.Repeat("a", 64)),
		"x?y=z"} {
		if _, err := c.Head(t.Context(), testRepo, ref); err == nil {
			t.Errorf("reference %q was accepted", ref)
		} else {
			wantKind(t, err, upstream.NotFound)
		}
	}
	_, err := c.Manifest(t.Context(), name.Repository{}, "latest")
	wantKind(t, err, upstream.NotFound)
	if _, err := c.StatBlob(t.Context(), testRepo, "sha256:../../x"); err == nil {
		t.Error("a malformed digest was accepted")
	}
}

func TestContextEndsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	srv := serve(t, func(_ http.ResponseWriter, _ *http.Request) { cancel(); <-release })
	t.Cleanup(func() { close(release) })
	c, clock := client(t, srv.URL)
	_, err := c.Manifest(ctx, testRepo, "latest")
	if !errors.Is(err, context.Canceled) || len(clock.waited()) != 0 {
		t.Fatalf("got %v after waits %v", err, clock.waited())
	}
	if e := (*upstream.Error)(nil); errors.As(err, &e) {
		t.Errorf("the caller's cancellation is blamed on upstream: %v", e)
	}
}
