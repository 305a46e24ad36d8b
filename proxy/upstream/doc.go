// Package upstream has the words in which the rooms below it tell what went wrong at a registry that images come from,
// and how it fares: Error with its Kind, and HostStatus. It makes no connection.
//
//	client     the registry API: manifests, blobs, tags, referrers; retries, resumes, verifies
//	auth       challenges, tokens, credentials; one Session per repository
//	transport  guarded connections: which address, what certificate, how many, how fast, how long
//	header     the header fields that these read
//
// Imports go down this list.
//
// An upstream is trusted only with what it was configured for. Credentials and client certificates go to the configured
// host (and credentials to the token service it names, over https); a redirect or a token service at a loopback,
// link-local or private address is refused unless the upstream itself lives at such an address; https never becomes http.
package upstream
