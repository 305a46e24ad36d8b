package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/strata-oci/strata/proxy/access"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// next is what a new configuration brings, complete before any of it is used.
type next struct {
	cfg             *config.Config
	upstream        *client.Client
	gate            *access.Gate
	operators       *access.Operators
	clientCerts     *livefile.File[*tls.Config] // nil: no TLS
	operatorCerts   *livefile.File[*tls.Config]
	warningMessages []string
}

// Reload reads the configuration again and takes it over: all of it or, when anything is wrong with it, nothing. Requests
// and jobs under way go on as they began. It returns the configuration's warnings.
func (s *Server) Reload(context.Context) (warnings []string, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.load == nil || s.closing.Load() {
		return nil, errors.New("the configuration cannot be read again now")
	}
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer s.notify(daemon.SdNotifyReady)
	n, err := s.prepare()
	s.metrics.Reloaded(err == nil, time.Now())
	if err != nil {
		s.log.Error("the new configuration is refused, the one before stays", "error", err)
		return nil, err
	}
	s.apply(n)
	for _, w := range n.warningMessages {
		s.log.Warn("configuration", "warning", w)
	}
	s.log.Info("configuration reloaded")
	return n.warningMessages, nil
}

// prepare makes what the new configuration brings.
func (s *Server) prepare() (n *next, err error) {
	n = &next{}
	if n.cfg, n.warningMessages, err = s.load(); err != nil {
		return nil, err
	}
	if keys := s.live.Load().NeedsRestart(n.cfg); len(keys) > 0 {
		return nil, errors.New(strings.Join(keys, ": a change needs a restart\n") + ": a change needs a restart")
	}
	if n.upstream, err = s.upstream.Prepare(s.upstreamOptions(n.cfg)); err != nil {
		return nil, err
	}
	if err := checkTrust(n.cfg); err != nil {
		return nil, err
	}
	return n, n.prepareAccess(s.operators.Load(), s.log)
}

// prepareAccess reads certificates, password files and keys. Of those in use, nothing changes; before is who let operators
// in until now, or nil.
func (n *next) prepareAccess(before *access.Operators, log *slog.Logger) (err error) {
	if n.clientCerts, err = loadCertificates("tls", n.cfg.TLS, log); err != nil {
		return err
	}
	n.warningMessages = append(n.warningMessages, unshown(n.cfg, n.clientCerts)...)
	if n.operatorCerts, err = loadCertificates("admin.tls", n.cfg.Admin.TLS, log); err != nil {
		return err
	}
	if n.gate, err = access.NewGate(n.cfg, log); err != nil {
		return err
	}
	n.operators, err = access.NewOperators(n.cfg.Admin, before, log)
	return err
}

// apply takes over what prepare made. Nothing here can fail.
func (s *Server) apply(n *next) {
	s.metrics.SetHosts(n.cfg.Hosts()...)
	s.upstream.Become(n.upstream)
	s.gate.Store(n.gate)
	s.operators.Store(n.operators)
	s.clients.use(n.clientCerts, clientLimits(n.cfg))
	s.operator.use(n.operatorCerts, operatorLimits(n.cfg))
	if s.level != nil {
		s.level.Set(n.cfg.Log.Level)
	}
	s.live.Store(n.cfg)
	s.usage.SetQuota(int64(n.cfg.Quota))
}

// Rule returns the settings of a repository by the newest configuration.
func (s *Server) Rule(repository string) config.Rule { return s.live.Load().Rule(repository) }
