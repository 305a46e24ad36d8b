package registry

import (
	"mime"
	"net/http"
	"strings"
)

// forBrowsers sets what keeps an answer from being a page: what an upstream holds could otherwise run as a script of this
// site, in the browser of somebody who followed a link here.
func forBrowsers(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
}

// contentType returns a media type as clients may be sent it: an upstream says what a manifest is, and could say text/html.
// Registries' own types and vendors' are taken, but for those of pages and of XML, which can hold a page; everything else is
// only bytes.
func contentType(mediaType string) string {
	plain, _, err := mime.ParseMediaType(mediaType)
	_, suffix, _ := strings.Cut(plain, "+")
	switch {
	case err != nil, strings.Contains(suffix, "xml"), strings.Contains(suffix, "html"):
		return blobMediaType
	case strings.HasPrefix(plain, "application/vnd."), plain == "application/json":
		return mediaType
	}
	return blobMediaType
}
