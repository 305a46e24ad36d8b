package chunkstore

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The layout of docs/store.md, as paths of a storage driver.
const (
	rootDir    = "/v1"
	formatPath = rootDir + "/format"
	blobsDir   = rootDir + "/blobs"
	recordsDir = rootDir + "/records"
	uploadsDir = rootDir + "/uploads"
	// quarantineDir holds what turned out to be damaged.
	quarantineDir = rootDir + "/quarantine"
)

// hexDigits is how many hex digits a digest of the algorithm has; 0 for one that the store does not take.
func hexDigits(alg string) int {
	switch digest.Algorithm(alg) {
	case digest.SHA256:
		return 64
	case digest.SHA512:
		return 128
	}
	return 0
}

// checkDigest accepts sha256 and sha512 digests in their one spelling. Everything that becomes a path goes through it.
func checkDigest(d digest.Digest) error {
	alg, hex, _ := strings.Cut(string(d), ":")
	n := hexDigits(alg)
	switch {
	case n == 0:
		return reject(fmt.Sprintf("digest %q", clip(string(d))), ErrInvalid, "only sha256 and sha512 are kept")
	case len(hex) != n || !isHex(hex):
		return reject(fmt.Sprintf("digest %q", clip(string(d))), ErrInvalid,
			fmt.Sprintf("want %d lower-case hex digits after %q", n, alg+":"))
	}
	return nil
}

// clip bounds a hostile string for use in an error message.
func clip(s string) string {
	const limit = 150
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// blobPath is where content lies. The digest has been checked.
func blobPath(d digest.Digest) string {
	alg, hex, _ := strings.Cut(string(d), ":")
	return blobsDir + "/" + alg + "/" + hex[:2] + "/" + hex
}

// parseBlobPath is the inverse of blobPath; false for paths that are no content.
func parseBlobPath(p string) (digest.Digest, bool) {
	rest, ok := strings.CutPrefix(p, blobsDir+"/")
	if !ok {
		return "", false
	}
	alg, rest, _ := strings.Cut(rest, "/")
	d := digest.Digest(alg + ":" + path.Base(rest))
	if checkDigest(d) != nil || blobPath(d) != p {
		return "", false
	}
	return d, true
}
