package limits_test

import (
	"net/netip"
	"testing"

	"github.com/strata-oci/strata/proxy/limits"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"10.1.2.3:55":                    "10.1.2.3",
		"10.1.2.3":                       "10.1.2.3",
		"[::ffff:10.1.2.3]:55":           "10.1.2.3",
		"[2001:db8:1:2:3:4:5:6]:55":      "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1]:66":      "2001:db8:1:2::",
		"[2001:db8::1:2]:1":              "2001:db8::",
		"[::1]:1":                        "::",
		"[fe80::1%eth0]:55":              "fe80::",
		"[2001:db8:1:3:3:4:5:6%eth1]:55": "2001:db8:1:3::",
	} {
		if got := limits.Address(remote); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %s", remote, got)
		}
	}
	if limits.Address("@").IsValid() || limits.Address("").IsValid() {
		t.Error("a socket has an address")
	}
}
