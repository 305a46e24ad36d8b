package config

import (
	"net/url"
	"strconv"
	"strings"
)

func (v *validator) upstream(key, host string, u Upstream) {
	if !isHost(host) {
		v.problem(key, "%s is no registry host: write it as it stands in image names, such as ghcr.io or localhost:5000",
			quote(host))
	}
	if u.URL != "" {
		v.base(key+".url", u.URL, "https://ghcr.io", u.Insecure)
	}
	v.via(key, u)
	v.account(key, u)
	v.egress(key+".proxy", u.Proxy.Reveal())
	v.both(key, "client_cert_file", u.ClientCertFile, "client_key_file", u.ClientKeyFile)
	if u.SkipVerify {
		if u.CAFile != "" {
			v.problem(key+".skip_verify", "makes ca_file useless: remove one of them")
		}
		v.warning(key+".skip_verify", "lets anyone on the way pose as %s: trust its certificate with ca_file instead", host)
	}
	v.duration(key+".timeout", u.Timeout, false)
	v.between(key+".attempts", u.Attempts, 1, mostAttempts)
	v.upstreamLimits(key, u)
}

func (v *validator) upstreamLimits(key string, u Upstream) {
	for i, host := range u.RedirectHosts {
		if rest := strings.TrimPrefix(host, "*."); rest == "" || strings.ContainsAny(rest, "*/:@ ") ||
			rest != strings.ToLower(rest) {
			v.problem(key+".redirect_hosts["+strconv.Itoa(i)+"]",
				"%s is no host name: write one in lower case such as cdn.example.com, or *.example.com for all below, without a port", quote(host))
		}
	}
	v.between(key+".max_connections", u.MaxConnections, 1, mostConnections)
	v.between(key+".max_downloads", u.MaxDownloads, 1, mostConnections)
	if u.MaxDownloads > u.MaxConnections && u.MaxConnections > 0 {
		v.problem(key+".max_downloads", "%d is more than max_connections, %d, which counts them too", u.MaxDownloads,
			u.MaxConnections)
	}
	if u.Bandwidth < 0 || u.Bandwidth > 0 && u.Bandwidth < leastBandwidth {
		v.problem(key+".bandwidth", "%s is out of range: write at least %s, or 0 for no bound", u.Bandwidth,
			Bandwidth(leastBandwidth))
	}
}

// account checks that the login is complete and comes from one source.
func (v *validator) account(key string, u Upstream) {
	password := !u.Password.IsZero()
	switch {
	case u.AuthFile != "" && (u.Username != "" || password || u.PasswordFile != ""):
		v.problem(key+".auth_file", "is set together with username or password: keep one")
	case password && u.PasswordFile != "":
		v.problem(key+".password_file", "is set together with password: keep one")
	case u.Username != "" && !password && u.PasswordFile == "":
		v.problem(key+".username", "is set without a password: add password or password_file")
	case u.Username == "" && password:
		v.problem(key+".password", "is set without username: add it")
	case u.Username == "" && u.PasswordFile != "":
		v.problem(key+".password_file", "is set without username: add it")
	}
}

// egress checks the URL of a proxy. Messages don't repeat it: it may hold a password.
func (v *validator) egress(key, text string) {
	if text == "" || text == NoProxy {
		return
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" ||
		strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "" {
		v.problem(key, "is no URL of an HTTP proxy: write http://proxy.example:3128, with user:password@ before the host where "+
			"it asks for them, or none for no proxy")
	}
}
