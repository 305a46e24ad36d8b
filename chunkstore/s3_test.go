package chunkstore_test

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"os"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/storetest"
)

// TestS3 runs on a real S3 server. The bucket has to exist; the tests work below random prefixes of it and leave their
// objects there.
//
//	STRATA_TEST_S3_ENDPOINT  the server's URL, such as http://127.0.0.1:7070
//	STRATA_TEST_S3_BUCKET    default "strata-test"
//	AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and what else the AWS library reads
func TestS3(t *testing.T) {
	endpoint := os.Getenv("STRATA_TEST_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("no S3 server: STRATA_TEST_S3_ENDPOINT is not set")
	}
	// The AWS library uses the default transport, whose idle connections would look like leaks.
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	storetest.Run(t, func(t *testing.T) storagedriver.StorageDriver {
		return openDriver(t, "s3", map[string]any{
			"regionendpoint": endpoint,
			"forcepathstyle": true,
			"bucket":         cmp.Or(os.Getenv("STRATA_TEST_S3_BUCKET"), "strata-test"),
			"rootdirectory":  "/" + rand.Text(),
		})
	})
}
