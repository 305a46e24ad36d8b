package header

import (
	"mime"
	"net/http"
	"strings"
)

// ContentType returns the media type of a response without parameters, in lower case.
func ContentType(h http.Header) string {
	value := h.Get("Content-Type")
	if t, _, err := mime.ParseMediaType(value); err == nil {
		return t
	}
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// ValidMediaType reports whether t is a type and a subtype (RFC 6838, section 4.2), fit to be a header's value.
func ValidMediaType(t string) bool {
	kind, sub, ok := strings.Cut(t, "/")
	if !ok || kind == "" || sub == "" || len(t) > 255 {
		return false
	}
	for i := range len(t) {
		if t[i] != '/' && !isTokenByte(t[i]) || i > len(kind) && t[i] == '/' {
			return false
		}
	}
	return true
}
