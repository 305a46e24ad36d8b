package registry

import (
	"context"
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
