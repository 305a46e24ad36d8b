package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

func ExampleClient() {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/org/app/manifests/stable" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	}))
	defer registry.Close()

	c, repo, err := connect(registry.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	m, err := c.Manifest(context.Background(), repo, "stable")
	fmt.Println(m.MediaType, m.Digest.Encoded()[:12], err)

	_, err = c.Manifest(context.Background(), repo, "testing")
	var failure *upstream.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Kind, failure.Transient())
	}
	fmt.Println(err)
	// Output:
	// application/vnd.oci.image.index.v1+json dff9de109191 <nil>
	// not_found false
	// get manifest from upstream registry.test/org/app: not found (status 404)
}

// A blob is verified while it is read: the last byte and io.EOF come only of the right content.
func ExampleClient_Blob() {
	blob := []byte("a layer")
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(blob)
	}))
	defer registry.Close()
	c, repo, err := connect(registry.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for _, d := range []digest.Digest{digest.FromBytes(blob), digest.FromString("another layer")} {
		body, size, err := c.Blob(context.Background(), repo, d, int64(len(blob)))
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = io.Copy(io.Discard, body)
		fmt.Println(size, err == nil, errors.Is(err, upstream.ErrVerify))
		_ = body.Close()
	}
	// Output:
	// 7 true false
	// 7 false true
}

// What an upstream does not have is not asked for again at once. A tag that is known is always looked at.
func ExampleClient_Refresh() {
	asked := 0
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			asked++
		}
		http.NotFound(w, r)
	}))
	defer registry.Close()
	c, repo, err := connect(registry.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for range 5 {
		_, err = c.Head(context.Background(), repo, "made-up")
	}
	fmt.Println(asked, errors.Is(err, upstream.ErrHeld))
	for range 3 {
		_, err = c.Refresh(context.Background(), repo, "stable")
	}
	fmt.Println(asked, errors.Is(err, upstream.ErrHeld))
	// Output:
	// 3 true
	// 6 false
}

// connect returns a client of a registry that is known as registry.test, and the name of a repository there.
func connect(url string) (*client.Client, name.Repository, error) {
	repo, err := name.Parser{}.Repository("registry.test/org/app", "")
	if err != nil {
		return nil, repo, err
	}
	c, err := client.New(client.Options{
		Hosts: map[string]client.Config{"registry.test": {Config: transport.Config{URL: url}}},
	})
	return c, repo, err
}
