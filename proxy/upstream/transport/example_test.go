package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// Answers may lead to the kind of addresses that the registry itself is at, and to no metadata service.
func ExampleHost_Send() {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/blob":
			http.Redirect(w, r, "/storage", http.StatusTemporaryRedirect)
		case "/v2/evil":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		}
	}))
	defer registry.Close()
	host, err := transport.New("registry.test", transport.Config{URL: registry.URL}, transport.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.CloseIdle()

	for _, path := range []string{"/v2/blob", "/v2/evil"} {
		resp, err := host.Send(context.Background(), transport.Request{Method: http.MethodGet, URL: host.URL(path)}, host)
		if err != nil {
			fmt.Println(path, errors.Is(err, upstream.ErrRefused))
			continue
		}
		fmt.Println(path, resp.StatusCode)
		_ = resp.Body.Close()
	}
	// Output:
	// /v2/blob 200
	// /v2/evil true
}
