package auth_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// A session answers a registry's challenge once and keeps the token.
func ExampleSession() {
	var registry *httptest.Server
	registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/token":
			fmt.Println("token for", user, r.URL.Query().Get("scope"))
			fmt.Fprint(w, `{"token":"T","expires_in":300}`)
		case r.Header.Get("Authorization") != "Bearer T":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+registry.URL+`/token",service="registry.test"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer registry.Close()
	host, err := transport.New("registry.test", transport.Config{URL: registry.URL}, transport.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.CloseIdle()
	log := slog.New(slog.DiscardHandler)
	creds, err := auth.New(auth.Login{Username: "me", Password: "secret"}, nil, log)
	if err != nil {
		fmt.Println(err)
		return
	}
	repo, err := name.Parser{}.Repository("registry.test/org/app", "")
	if err != nil {
		fmt.Println(err)
		return
	}

	session := auth.NewSession(host, creds, repo, repo.Path(), time.Now, log)
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, registry.URL+"/v2/org/app/manifests/latest", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := session.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(resp.StatusCode)
		_ = resp.Body.Close()
	}
	// Output:
	// token for me repository:org/app:pull
	// 200
	// 200
}
