package fleet

import (
	"strings"

	"github.com/strata-oci/strata/proxy/catalog"
)

// client is the program and version of a User-Agent, "bootc/1.1.4": the first product that is not a library which others are
// made with, or nothing.
func client(agent string) string {
	first := ""
	for product := range strings.FieldsSeq(agent) {
		if strings.HasPrefix(product, "(") || !plain(product) {
			continue
		}
		name, _, _ := strings.Cut(product, "/")
		if first == "" {
			first = product
		}
		if !strings.EqualFold(name, "containers") && !strings.EqualFold(name, "Go-http-client") &&
			!strings.EqualFold(name, "Mozilla") {
			return clip(product)
		}
	}
	return clip(first)
}

func clip(s string) string { return s[:min(len(s), catalog.MaxFleetClient)] }

// plain reports whether a product is written as RFC 9110 has it, a token with a version or without.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/.-_+~", r))
	})
}
