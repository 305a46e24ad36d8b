package server

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/registry"
)

// fleet says how hosts are told apart, by the newest configuration; nil where none are counted, which a restart changes.
func (s *Server) fleet() func() config.Fleet {
	if !s.cfg.Fleet.Enabled() {
		return nil
	}
	return func() config.Fleet {
		f := s.live.Load().Fleet
		f.Identify = s.cfg.Fleet.Identify
		return f
	}
}

// saw notes that a host got a manifest, or asked for it.
func (s *Server) saw(q registry.Request) {
	if s.rooms.Fleet == nil {
		return
	}
	from, _ := netip.ParseAddrPort(q.Remote) // a socket of the machine's own has none
	s.rooms.Fleet.Saw(fleet.Sighting{
		Repository: q.Repository.String(), Tag: q.Tag, Digest: q.Digest, Got: q.Method == http.MethodGet,
		Earlier: q.Earlier,
		User:    q.User, Certificate: q.Certificate, Address: from.Addr(), Agent: q.Agent,
	})
}

// fleetReport tells of all hosts, or of those of a tag.
func (s *Server) fleetReport(reference string) (*fleet.Report, error) {
	key, err := s.fleetTag(reference)
	if err != nil {
		return nil, err
	}
	return s.rooms.Fleet.Report(key)
}

// fleetHost tells of one host.
func (s *Server) fleetHost(named, reference string) (*fleet.Report, error) {
	key, err := s.fleetTag(reference)
	if err != nil {
		return nil, err
	}
	return s.rooms.Fleet.Host(named, key)
}

// fleetTag is the key of a tag as it was asked for; "" stays "".
func (s *Server) fleetTag(reference string) (string, error) {
	if reference == "" {
		return "", nil
	}
	repo, tag, err := s.names().ParseReference(reference)
	if err != nil {
		return "", fmt.Errorf("%w: %w", fleet.ErrUnknownTag, err)
	}
	return catalog.TagKey{Repository: repo.String(), Tag: string(tag)}.String(), nil
}
