package server

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// Check reads all files that a configuration names, certificates, keys, passwords, policies, as a start would, and returns
// what is wrong with them. It opens neither store nor sockets, and asks nobody.
func Check(cfg *config.Config, version string) error {
	if err := checkTrust(cfg); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	up, err := client.New(upstreamOptions(cfg, version, log, metrics.New(prometheus.NewRegistry(), cfg.Hosts()...)))
	if err != nil {
		return err
	}
	up.Close()
	for _, host := range cfg.Hosts() {
		if _, _, err := cfg.Upstream(host).Credentials(); err != nil {
			return fmt.Errorf("upstreams.%s: %w", host, err)
		}
	}
	if _, err := cfg.Tracing.Client(); err != nil {
		return err
	}
	for i, s := range cfg.Seeds {
		if s.Root == "" {
			continue
		}
		if fi, err := os.Stat(s.Root); err != nil {
			return fmt.Errorf("seeds[%d].root: %w: write the path of a root file system, such as /", i, err)
		} else if !fi.IsDir() {
			return fmt.Errorf("seeds[%d].root: %s is no directory: write the path of a root file system, such as /", i,
				s.Root)
		}
	}
	n := &next{cfg: cfg}
	return n.prepareAccess(nil, log)
}
