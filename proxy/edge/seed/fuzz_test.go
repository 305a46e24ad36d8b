package seed

import (
	"testing"
)

// What is found in a commit is a digest, whatever the commit is.
func FuzzCommitImage(f *testing.F) {
	f.Add([]byte(manifestKey + "\x00sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\x00\x00s"))
	f.Add([]byte(manifestKey))
	f.Fuzz(func(t *testing.T, commit []byte) {
		if d, err := commitImage(commit); err == nil && d.Validate() != nil {
			t.Errorf("%q is no digest", d)
		}
	})
}
