package auth

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestAuthFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auth.json")
	write(t, file, `{"auths":{
		"registry.test":{"auth":"aG9zdDpwdw=="},
		"registry.test/org":{"auth":"b3JnOnB3"},
		"registry.test/org/app":{"auth":"YXBwOnB3"},
		"https://index.docker.io/v1/":{"auth":"aHViOnB3"}}}`)
	for repo, want := range map[name.Repository]string{
		nametest.Repository("registry.test/org/app"):        "app",
		nametest.Repository("registry.test/org/other"):      "org",
		nametest.Repository("registry.test/elsewhere/app"):  "host",
		nametest.Repository("docker.io/library/alpine"):     "hub",
		nametest.Repository("other.test/org/app"):           "",
		nametest.Repository("registry.test.evil.com/x/app"): "",
	} {
		got, err := authFile(file).Resolve(t.Context(), repo)
		if err != nil || got.Username != want {
			t.Errorf("%s: got user %q, want %q, %v", repo, got.Username, want, err)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
