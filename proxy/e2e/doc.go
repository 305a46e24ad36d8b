// Package e2e holds the tests that run the whole of Strata: the built binary as a process, between distribution's own
// registry as the upstream and the clients that people use. Served filesystems are compared with the source's by other
// programs than ours.
//
// A client that is not installed skips the tests that need it, and so does missing root where a client can't do without.
// STRATA_TEST_CORPUS names a directory with the OCI layouts dpkg and rpm, series of real operating system images; "make
// corpus" builds them.
package e2e
