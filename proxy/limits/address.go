// Package limits counts what clients take by the addresses they come from, so that one of them can't take what is there for
// all: open connections, requests under way, questions about what does not exist. Addresses of an IPv6 network, which one
// host has by the billion, count as one. Many hosts may share an address, so bounds are for what no fleet behind one needs.
package limits

import (
	"net"
	"net/netip"
)

// network is how many bits of an IPv6 address tell clients apart.
const network = 64

// Address is who counts as the client of a connection whose other end is remote, "host:port". What is no address, such as
// the name of a socket, is one client.
func Address(remote string) netip.Addr {
	addr := Peer(remote)
	if !addr.IsValid() {
		return addr
	}
	return Client(addr)
}

// Peer is the address of a connection whose other end is remote, "host:port"; the zero Addr, where that is none.
func Peer(remote string) netip.Addr {
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

// Client is who counts as the client at an address.
func Client(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(network); err == nil {
			return p.Addr()
		}
	}
	return addr
}
