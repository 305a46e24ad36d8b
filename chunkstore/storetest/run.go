package storetest

import (
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore"
)

// Run checks the store's contract on a driver. open returns a new driver for an empty backend on every call; the backends of
// different calls must not see each other, since the checks run in parallel. open itself is never called concurrently, nor
// while a check runs: AWS's library changes http.DefaultClient when it makes a session with AWS_CA_BUNDLE set.
func Run(t *testing.T, open func(t *testing.T) storagedriver.StorageDriver) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, storagedriver.StorageDriver)
	}{
		{"content", testContent},
		{"ranges", testRanges},
		{"mismatch", testMismatch},
		{"writers of the same content", testSameContent},
		{"cancel", testCancel},
		{"sha512", testSHA512},
		{"documents", testDocuments},
		{"corruption", testCorruption},
		{"hostile digests", testDigests},
		{"delete and walk", testDeleteAndWalk},
		{"records", testRecords},
		{"keys", testKeys},
		{"names that begin alike", testPrefixes},
		{"records by the beginnings of their keys", testListing},
		{"listing sees no others", testShortListing},
		{"invalid records", testInvalidRecords},
		{"record lifetime", testRecordTTL},
		{"writers of the same record", testSameRecord},
		{"sweep", testSweep},
		{"format", testFormat},
		{"check", testCheck},
		{"write fails once", testFaults(FailNth)},
		{"write is done but fails", testFaults(FailNthAfter)},
		{"process dies", testFaults(DieAt)},
		{"backend fills up", testFull},
		{"backend drops bytes", testTruncating},
	} {
		t.Run(c.name, func(t *testing.T) {
			driver := open(t)
			t.Parallel()
			c.check(t, driver)
		})
	}
}

// openStore opens a store with options that fit most checks.
func openStore(t *testing.T, driver storagedriver.StorageDriver) *chunkstore.Store {
	t.Helper()
	return openWith(t, driver, chunkstore.Options{})
}

func openWith(t *testing.T, driver storagedriver.StorageDriver, opts chunkstore.Options) *chunkstore.Store {
	t.Helper()
	s, err := chunkstore.NewContext(t.Context(), driver, opts)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}
