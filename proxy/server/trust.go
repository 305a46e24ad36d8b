package server

import (
	"errors"
	"slices"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/trust"
)

// checkTrust reads the keys that a configuration names, so that one which cannot be used is found before anybody pulls.
func checkTrust(cfg *config.Config) error {
	return errors.Join(trust.CheckSigning(cfg.Signing), trust.CheckRules(cfg.Repositories))
}

// signing is what the newest configuration says of signing.
func (s *Server) signing() trust.SigningSettings {
	cfg := s.live.Load()
	signing := cfg.Signing
	// By the name of a registry that it answers as, the proxy has that registry's repositories, whatever their paths.
	signing.Names = slices.DeleteFunc(slices.Clone(signing.Names), cfg.AnswersAs)
	return trust.SigningSettings{Signing: signing, DefaultUpstream: cfg.DefaultUpstream, Version: s.version}
}
