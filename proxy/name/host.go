package name

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	maxHostName  = 253 // RFC 1035, in text form
	maxHostLabel = 63
)

// ParseHost checks a registry's host, with or without a port, and returns its canonical form: the aliases of Docker Hub
// become "docker.io", and the port that all registries have is left out. A host contains '.' or ':' or is "localhost", which
// tells it from a repository's component; it is a lower-case DNS name or an IPv4 address in its usual form. Errors wrap
// ErrInvalid.
func ParseHost(s string) (string, error) {
	if len(s) > maxHostName+len(":65535") {
		return "", fmt.Errorf("%w: a registry's host has at most %d characters", ErrInvalid, maxHostName)
	}
	if !looksLikeHost(s) {
		return "", fmt.Errorf("%w: %q is no registry's host: it needs a domain or a port", ErrInvalid, s)
	}
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && !validPort(port) {
		return "", fmt.Errorf("%w: registry %q: the port must be a number from 1 to 65535", ErrInvalid, s)
	}
	if strings.ContainsFunc(host, isUpper) {
		return "", fmt.Errorf("%w: registry %q: write the host in lower case", ErrInvalid, s)
	}
	if !validHostName(host) {
		return "", fmt.Errorf("%w: registry %q: the host must be a DNS name or an IPv4 address", ErrInvalid, s)
	}
	if hasPort && port == "443" && looksLikeHost(host) {
		s = host // one registry has one name, by which rules know it
	}
	if s == "index.docker.io" || s == "registry-1.docker.io" {
		return dockerHub, nil
	}
	return s, nil
}

// looksLikeHost tells a host from a repository's first component, as docker and containers/image do.
func looksLikeHost(s string) bool { return s == "localhost" || strings.ContainsAny(s, ".:") }

// validPort takes the canonical decimal form only, so that one registry has one name.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func validHostName(s string) bool {
	if len(s) > maxHostName {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// What ends in a number is an address to many resolvers, in forms ("127.1", "0x7f.1") that rules on hosts would not
	// recognise.
	if isNumber(labels[len(labels)-1]) {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Is4()
	}
	return true
}

func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return !strings.ContainsFunc(hex, notHex)
	}
	return strings.Trim(label, "0123456789") == ""
}

func validLabel(s string) bool {
	if s == "" || len(s) > maxHostLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
