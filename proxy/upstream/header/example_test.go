package header_test

import (
	"fmt"
	"net/http"

	"github.com/strata-oci/strata/proxy/upstream/header"
)

func ExamplePickChallenge() {
	h := http.Header{"Www-Authenticate": {`Basic realm="registry", Bearer realm="https://auth.test/token",service="registry"`}}
	challenge, ok := header.PickChallenge(h)
	fmt.Println(ok, challenge.Scheme, challenge.Params["realm"], challenge.Params["service"])
	// Output: true bearer https://auth.test/token registry
}

func ExampleContentRange() {
	r, ok := header.ContentRange("bytes 0-499/1234")
	fmt.Println(r.First, r.Last, r.Total, ok)
	_, ok = header.ContentRange("bytes */1234")
	fmt.Println(ok)
	// Output:
	// 0 499 1234 true
	// false
}
