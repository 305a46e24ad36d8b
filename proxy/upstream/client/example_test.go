package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

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

	c, err := client.New(client.Options{Hosts: map[string]client.Config{"registry.test": {Config: transport.Config{URL: registry.URL}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	repo, err := name.Parser{}.Repository("registry.test/org/app", "")
	if err != nil {
		fmt.Println(err)
		return
	}
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
