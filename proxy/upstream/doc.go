// Package upstream fetches manifests, blobs, tags and referrers from the registries that images come from, over the pull side of
// the OCI distribution API, version 1.1.
//
// A Client knows one Config per registry host. It authenticates (anonymous and user bearer tokens, basic), follows redirects to
// content networks, retries what is worth retrying, honours Retry-After, resumes broken blob bodies and verifies every byte that
// is named by a digest. Every failure is an *Error whose Kind says what to do about it, or a context error when the caller gave
// up.
//
// An upstream is trusted only with what it was configured for. Credentials and client certificates go to the configured host (and
// credentials to the token service it names, over https); a redirect or a token service at a loopback, link-local or private
// address is refused unless the upstream itself lives at such an address; https never becomes http.
package upstream
