package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Harbor#18335: tags are listed, all of them.
func TestTagsFollowPagination(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("last") {
		case "":
			w.Header().Set("Link", `</v2/org/app/tags/list?n=2&last=b>; rel="next"`)
			fmt.Fprint(w, `{"name":"org/app","tags":["a","b"]}`)
		case "b":
			w.Header().Set("Link", `<?n=2&last=c>; title="a, b"; rel=next`)
			fmt.Fprint(w, `{"tags":["c","not a tag","../x"]}`)
		default:
			fmt.Fprint(w, `{"tags":null}`)
		}
	})
	c, _ := client(t, srv.URL)
	got, err := c.Tags(t.Context(), testRepo)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTagsStayOnTheHost(t *testing.T) {
	t.Parallel()
	for link, kind := range map[string]upstream.Kind{
		`<http://169.254.169.254/v2/?s3cret>; rel="next"`:         upstream.Protocol,
		`<https://other.example/v2/x/tags/list>; rel="next"`:      upstream.Protocol,
		`<//other.example/v2/x/tags/list>; rel="next"`:            upstream.Protocol,
		`<http://[::1/>; rel="next"`:                              upstream.Protocol,
		`</v2/org/app/tags/list?n=1000>; rel="next"`:              upstream.Protocol, // a circle
		`<https://other.example/>; rel="prev", </p>; rel="first"`: "",
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", link)
			fmt.Fprint(w, `{"tags":["a"]}`)
		})
		c, _ := client(t, srv.URL)
		_, err := c.Tags(t.Context(), testRepo)
		switch {
		case kind == "" && err != nil:
			t.Errorf("%s: %v", link, err)
		case kind != "":
			if wantKind(t, err, kind); !errors.Is(err, upstream.ErrRefused) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: got %v", link, err)
			}
		}
	}
}

func TestPagesOfReferrersAreBounded(t *testing.T) {
	t.Parallel()
	pages := 0
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		pages++
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, pages))
		fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
	})
	c, _ := client(t, srv.URL)
	_, _, err := c.Referrers(t.Context(), testRepo, digest.FromString("subject"), "")
	if wantKind(t, err, upstream.TooLarge); pages != maxReferrerPages {
		t.Errorf("%d pages, %v", pages, err)
	}
}

func TestTagsAreBounded(t *testing.T) {
	t.Parallel()
	page := 0
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		page++
		w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, page))
		fmt.Fprint(w, `{"tags":["a"]}`)
	})
	c, _ := client(t, srv.URL)
	_, err := c.Tags(t.Context(), testRepo)
	if wantKind(t, err, upstream.TooLarge); page != maxPages {
		t.Errorf("%d pages, %v", page, err)
	}
	srv = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"tags":["`+strings.Repeat(`","`, maxTags)+`"]}`)
	})
	c, _ = client(t, srv.URL)
	_, err = c.Tags(t.Context(), testRepo)
	if wantKind(t, err, upstream.TooLarge); !strings.Contains(err.Error(), "200000") {
		t.Errorf("the message does not name the limit: %v", err)
	}
}

func TestTagsThatAreNoJSON(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) })
	c, _ := client(t, srv.URL)
	_, err := c.Tags(t.Context(), testRepo)
	wantKind(t, err, upstream.Protocol)
}

const emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

func oneReferrer(digit string) string {
	return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"` +
		digest.FromString(digit).String() + `"}]}`
}

// distribution has no referrers at all.
func TestReferrers(t *testing.T) {
	t.Parallel()
	subject := digest.FromString("subject")
	fallback := "/v2/org/app/manifests/sha256-" + subject.Encoded()
	for _, tc := range []struct {
		name, artifactType string
		api, tag           http.HandlerFunc
		want               string
		filtered           bool
	}{
		{"from the API", "", index(oneReferrer("1"), ""), nil, oneReferrer("1"), false},
		{"filtered", "a/b", index(oneReferrer("1"), "artifactType"), nil, oneReferrer("1"), true},
		{"filtered among others", "a/b", index(oneReferrer("1"), "x, artifactType"), nil, oneReferrer("1"), true},
		{"not filtered", "a/b", index(oneReferrer("1"), ""), nil, oneReferrer("1"), false},
		{"nothing was to be filtered", "", index(oneReferrer("1"), "artifactType"), nil, oneReferrer("1"), false},
		{"no API, no tag", "", http.NotFound, http.NotFound, emptyIndex, false},
		{"no API, a tag", "a/b", http.NotFound, index(oneReferrer("2"), ""), oneReferrer("2"), false},
		{"API not implemented", "", status(http.StatusNotImplemented), index(oneReferrer("2"), ""), oneReferrer("2"), false},
		{"API not allowed", "", status(http.StatusMethodNotAllowed), http.NotFound, emptyIndex, false},
		{"a page for every address", "", page(`<html>`), http.NotFound, emptyIndex, false},
		{"a tag that is an image", "", http.NotFound, page(`{"schemaVersion":2,"config":{}}`), emptyIndex, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/v2/org/app/referrers/"+subject.String():
					if got := r.URL.Query().Get("artifactType"); got != tc.artifactType {
						t.Errorf("artifactType %q", got)
					}
					tc.api(w, r)
				case r.URL.Path == fallback && tc.tag != nil:
					tc.tag(w, r)
				default:
					t.Errorf("asked for %s", r.URL)
				}
			})
			c, clock := client(t, srv.URL)
			got, filtered, err := c.Referrers(t.Context(), testRepo, subject, tc.artifactType)
			if err != nil || string(got) != tc.want || filtered != tc.filtered || len(clock.waited()) != 0 {
				t.Errorf("got %s, filtered %t, %v, after %v", got, filtered, err, clock.waited())
			}
		})
	}
}

func index(body, filters string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", imagespec.MediaTypeImageIndex)
		setHeader(w.Header(), "OCI-Filters-Applied", filters)
		fmt.Fprint(w, body)
	}
}

func page(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestReferrersJoinsPages(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := r.URL.Query().Get("page")
		if n == "" {
			w.Header().Set("Link", `<?page=2>; rel="next"`)
			n = "1"
		}
		index(oneReferrer(n), "")(w, r)
	})
	c, _ := client(t, srv.URL)
	got, _, err := c.Referrers(t.Context(), testRepo, digest.FromString("subject"), "")
	if err != nil {
		t.Fatal(err)
	}
	var joined struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(got, &joined); err != nil || len(joined.Manifests) != 2 ||
		joined.Manifests[1].Digest != digest.FromString("2").String() {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestReferrersOutageIsNoAbsence(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	c, _ := client(t, srv.URL)
	_, _, err := c.Referrers(t.Context(), testRepo, digest.FromString("subject"), "")
	wantKind(t, err, upstream.Unavailable)
}

// A listing that readers could take for different ones is neither passed on nor taken for a registry without referrers.
func TestReferrersAmbiguous(t *testing.T) {
	t.Parallel()
	d := digest.FromString("1").String()
	for _, body := range []string{
		`{"manifests":[],"Manifests":[{"digest":"` + d + `"}]}`, `{"manifests":[{"digest":"` + d +
			`","Digest":"sha256:x"}]}`,
		`{"manifests":[{"digest":"sha256:x"}]}`, `{"manifests":[{}]}`, `{"manifests":{}}`,
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				t.Errorf("%s: asked for %s", body, r.URL)
			}
			index(body, "")(w, r)
		})
		c, _ := client(t, srv.URL)
		got, _, err := c.Referrers(t.Context(), testRepo, digest.FromString("subject"), "")
		if wantKind(t, err, upstream.Protocol); got != nil {
			t.Errorf("%s: %s", body, got)
		}
	}
}
