package registry

import (
	"context"
	"net"
	"net/netip"
)

// Client is who sent a request, for what depends on it. The zero value is somebody of whom nothing is known.
type Client struct {
	// User is the name that it logged in with, empty when it did not.
	User string
	// Address is where it connects from.
	Address netip.Addr
}

type clientKey struct{}

// WithClient returns a context of work for a client.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns the client that work is done for.
func ClientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}

// address is that of the other end of a connection, "host:port"; the zero value for what is none.
func address(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
