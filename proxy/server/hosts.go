package server

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/trust"
)

// hostsProxy tells operators what hosts need to know of this proxy, by the newest configuration.
func (s *Server) hostsProxy() hosts.Proxy {
	cfg := s.live.Load()
	p := hosts.Proxy{Names: slices.Clone(cfg.Signing.Names), Upstreams: cfg.Hosts(), Insecure: !cfg.TLS.Enabled(),
		Signed: append([]string{}, cfg.Signing.Names...), AnswersAs: append([]string{}, cfg.AnswerAs...)}
	p.Port = s.port(p.Insecure)
	for _, host := range p.Upstreams {
		if up := cfg.Upstream(host); up.Via == "" && strings.HasPrefix(up.URL, "http://") {
			p.Plain = append(p.Plain, host)
		}
	}
	public, err := trust.PublicKeys(cfg.Signing)
	if err != nil {
		s.log.Error("the signing keys cannot be read, so operators are not shown them", "error", err)
	}
	for _, k := range public {
		p.Keys = append(p.Keys, string(k.PEM()))
	}
	if !p.Insecure {
		names, ca := certificateNames(cfg.TLS.CertFile)
		p.CA = ca
		for _, n := range names {
			if n = withPort(n, cfg); !slices.Contains(p.Names, n) {
				p.Names = append(p.Names, n)
			}
		}
	}
	return p
}

// port is that of the clients' socket, "" where it is the one that goes without saying.
func (s *Server) port(insecure bool) string {
	if s.clients.socket == nil {
		return ""
	}
	_, port, err := net.SplitHostPort(s.clients.socket.Addr().String())
	if err != nil || port == "443" && !insecure || port == "80" && insecure {
		return ""
	}
	return port
}

// withPort adds the port that clients have to name.
func withPort(name string, cfg *config.Config) string {
	_, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil || port == "443" || port == "" {
		return name
	}
	return name + ":" + port
}

// certificateNames returns the names that a certificate is for, wildcards left out, and the authority in its file, where
// there is one that signed itself. What cannot be read shows elsewhere.
func certificateNames(file string) (names []string, ca string) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, ""
	}
	for first := true; ; first = false {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return names, ca
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return names, ca
		}
		for _, n := range c.DNSNames {
			if first && !strings.HasPrefix(n, "*") {
				names = append(names, n)
			}
		}
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			ca = string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
}
