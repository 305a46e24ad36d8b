package limits_test

import (
	"fmt"
	"net/netip"

	"github.com/strata-oci/strata/proxy/limits"
)

// One IPv6 network counts as one client, so that it gets one client's part.
func ExampleCounter() {
	var open limits.Counter
	a, b := limits.Address("[2001:db8::1]:4000"), limits.Address("[2001:db8::2]:4001")
	const all, each = 3, 1
	fmt.Printf("%q %q\n", open.Enter(a, all, each), open.Enter(b, all, each))
	open.Leave(a)
	fmt.Printf("%q %q\n", open.Enter(b, all, each), open.Enter(netip.MustParseAddr("192.0.2.7"), all, each))
	// Output:
	// "" "address"
	// "" ""
}
