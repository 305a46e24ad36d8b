// Package e2e holds the tests that run the whole of Strata: the built binary as a process, between distribution's own
// registry as the upstream and the clients that people use. Served filesystems are compared with the source's by other
// programs than ours.
//
// A client that is not installed skips the tests that need it, and so does missing root where a client can't do without.
// STRATA_TEST_CORPUS names a directory with the OCI layouts dpkg and rpm, series of real operating system images; "make
// corpus" builds them. STRATA_TEST_PODMAN and STRATA_TEST_SKOPEO are clients that check signatures of sigstore; .ci/clients
// sets them up. STRATA_TEST_CLIENTS has cosign 3 and, in 2, cosign 2: "make test-clients".
package e2e
