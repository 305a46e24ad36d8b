package config

import (
	"net/url"
	"strings"
)

func (v *validator) upstream(key, host string, u Upstream) {
	if !isHost(host) {
		v.problem(key, "%s is no registry host: write it as it stands in image names, such as ghcr.io or localhost:5000", quote(host))
	}
	v.upstreamURL(key+".url", u)
	v.account(key, u)
	v.both(key, "client_cert_file", u.ClientCertFile, "client_key_file", u.ClientKeyFile)
	if u.SkipVerify {
		if u.CAFile != "" {
			v.problem(key+".skip_verify", "makes ca_file useless: remove one of them")
		}
		v.warning(key+".skip_verify", "lets anyone on the way pose as %s: trust its certificate with ca_file instead", host)
	}
	v.duration(key+".timeout", u.Timeout, false)
	v.between(key+".attempts", u.Attempts, 1, mostAttempts)
}

func (v *validator) upstreamURL(key string, u Upstream) {
	if u.URL == "" {
		return
	}
	parsed, err := url.Parse(u.URL)
	if err != nil { // the error would repeat the URL, which may hold a password
		v.problem(key, "is no URL: write one such as https://ghcr.io")
		return
	}
	switch {
	case parsed.User != nil:
		v.problem(key, "has a user name in it: use username with password or password_file")
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		v.problem(key, "%s starts with neither https:// nor http://", quote(u.URL))
	case parsed.Hostname() == "":
		v.problem(key, "%s names no host: write one such as https://ghcr.io", quote(u.URL))
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
		v.problem(key, "%s has more than scheme and host: a registry answers at /v2/ of its host", quote(u.URL))
	case parsed.Scheme == "http" && !u.Insecure:
		v.problem(key, "%s is not encrypted, so anyone on the way can replace images and read passwords: "+
			"write https://, or add insecure: true if that is meant", quote(u.URL))
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
