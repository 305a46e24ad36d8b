// Package verifytest holds what real cosign made of an image in a registry: how the fixtures of proxy/trust/verify are kept.
package verifytest

// Fixture is an image of registry.test/org/os that one command of cosign signed or attested.
type Fixture struct {
	// Cosign is its major version, Command what was run: $REGISTRY is where the image was, $SIGSTORE the services of the
	// tests, $TOKEN the identity's.
	Cosign  int
	Command string
	// Key is the public key in PEM.
	Key string
	// Identity of Issuer is whose certificate it is, by the trusted root Root.
	Identity, Issuer string
	Root             []byte
	// Image is the image's manifest, Referrers the answer of the API for referrers; Manifests are those of signatures and
	// attestations, by tag or digest, and Blobs their layers.
	Image, Referrers string
	Manifests, Blobs map[string]string
}
