package main

import "testing"

// Keys that came over plain HTTP from another machine are told to be unproven.
func TestUnprovenKeys(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"": false, "127.0.0.1:5001": false, "http://localhost:5001": false, "http://[::1]:5001": false,
		"https://proxy.example:5001": false, "proxy.example:5001": true, "http://192.0.2.1:5001": true,
	} {
		c := clientConfigCommand{Admin: address}
		if got := c.unproven(); (got != "") != want {
			t.Errorf("%q: %q", address, got)
		}
	}
}
