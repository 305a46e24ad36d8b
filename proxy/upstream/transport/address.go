package transport

import "net/netip"

// addressClass sorts network addresses by who can reach them. The values are bits of a set.
type addressClass uint32

const (
	public addressClass = 1 << iota
	private
	loopback
	linkLocal // includes the metadata services of clouds
	unusable  // unspecified, multicast, reserved
)

// classOf returns the class of an address. An IPv6 address that stands for an IPv4 one has the class of that.
func classOf(ip netip.Addr) addressClass {
	ip = ip.WithZone("").Unmap()
	if embedded, ok := embeddedIPv4(ip); ok {
		return classOf(embedded)
	}
	switch {
	case ip.IsLoopback():
		return loopback
	case ip.IsLinkLocalUnicast(), isMetadata(ip):
		return linkLocal
	case ip.IsPrivate(), isSharedOrSiteLocal(ip):
		return private
	case !ip.IsGlobalUnicast(), isReservedIPv4(ip):
		return unusable
	default:
		return public
	}
}

// embeddedIPv4 returns the IPv4 address in a NAT64 (64:ff9b::/96, RFC 6052), 6to4 (2002::/16, RFC 3056), Teredo
// (2001::/32, RFC 4380), IPv4-translated (::ffff:0:0:0/96, RFC 7915) or IPv4-compatible (::/96, RFC 4291) address.
func embeddedIPv4(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}:
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff},
		[12]byte(b[:12]) == [12]byte{} && ip != netip.IPv6Loopback() && !ip.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:])), true
	default:
		return netip.Addr{}, false
	}
}

// isMetadata reports whether ip is a cloud's metadata service outside the link-local ranges (Amazon's over IPv6, Alibaba's).
func isMetadata(ip netip.Addr) bool {
	return ip == netip.AddrFrom4([4]byte{100, 100, 100, 200}) ||
		ip == netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54})
}

// isSharedOrSiteLocal reports 100.64.0.0/10 (RFC 6598), 198.18.0.0/15 (RFC 2544), fec0::/10 (RFC 3879) and the NAT64
// prefix for a network's own use, 64:ff9b:1::/48 (RFC 8215), which netip does not count as private.
func isSharedOrSiteLocal(ip netip.Addr) bool {
	if ip.Is4() {
		b := ip.As4()
		return b[0] == 100 && b[1]&0xc0 == 64 || b[0] == 198 && b[1]&0xfe == 18
	}
	b := ip.As16()
	if [6]byte(b[:6]) == [6]byte{0, 0x64, 0xff, 0x9b, 0, 1} {
		return true
	}
	return b[0] == 0xfe && b[1]&0xc0 == 0xc0
}

// isReservedIPv4 reports 0.0.0.0/8, 192.0.0.0/24 (RFC 6890) and 240.0.0.0/4.
func isReservedIPv4(ip netip.Addr) bool {
	if !ip.Is4() {
		return false
	}
	b := ip.As4()
	return b[0] == 0 || b[0] >= 240 || [3]byte(b[:3]) == [3]byte{192}
}
