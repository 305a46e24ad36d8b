package server

import (
	"slices"
	"testing"

	"github.com/strata-oci/strata/proxy/config"
)

// What is pulled by the name of a registry that the proxy answers as is signed in that registry's name.
func TestSigningNamesBesideAnswerAs(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.AnswerAs = config.HostList{"ghcr.io"}
	cfg.Signing.Names = []string{"proxy.test", "ghcr.io"}
	s := &Server{}
	s.live.Store(cfg)
	if got := s.signing().Names; !slices.Equal(got, []string{"proxy.test"}) {
		t.Errorf("signs for %q", got)
	}
	if !slices.Equal(cfg.Signing.Names, []string{"proxy.test", "ghcr.io"}) {
		t.Errorf("the configuration was changed: %q", cfg.Signing.Names)
	}
}
