package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Redis is where several replicas on one store agree on who does what. Without Address there is none, and this process takes
// itself for the only one.
type Redis struct {
	// Address is "host:port", or "unix://" and the path of a socket.
	Address string `yaml:"address"`
	// Username may be empty where there is a password.
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// PasswordFile is a file that holds the password; a line break at its end does not count. It is read at each connection.
	PasswordFile string `yaml:"password_file"`
	// Database is the number of the database.
	Database int `yaml:"database"`
	// Prefix begins every key. Replicas of one store have the same, and other stores on the same Redis another.
	Prefix string `yaml:"prefix"`
	// TLS encrypts the connection.
	TLS RedisTLS `yaml:"tls"`
}

// RedisTLS is how a connection to Redis is encrypted.
type RedisTLS struct {
	Enabled bool `yaml:"enabled"`
	// CAFile is a PEM file of certificate authorities to trust beside the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are PEM files that identify the proxy.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Enabled reports whether a Redis is configured.
func (r Redis) Enabled() bool { return r.Address != "" }

// ReadPassword returns the password, or nothing where there is none.
func (r Redis) ReadPassword() (string, error) {
	if r.PasswordFile == "" {
		return r.Password.Reveal(), nil
	}
	return readSecret("redis.password_file", r.PasswordFile)
}

// ClientTLS reads the files and returns what the connection is encrypted with, or nil where it is not.
func (r Redis) ClientTLS() (*tls.Config, error) {
	if !r.TLS.Enabled {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if host, _, err := net.SplitHostPort(r.Address); err == nil {
		out.ServerName = host
	}
	if r.TLS.CAFile != "" {
		var err error
		if out.RootCAs, err = authorities("redis.tls.ca_file", r.TLS.CAFile); err != nil {
			return nil, err
		}
	}
	if r.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.TLS.CertFile, r.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("redis.tls.cert_file: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// authorities reads the file that a key names, and returns the certificate authorities in it beside the system's.
func authorities(key, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s holds no certificate in PEM format", key, file)
	}
	return pool, nil
}

const (
	mostDatabases = 1 << 14
	longestPrefix = 64 // bytes
	socketScheme  = "unix://"
)

func (v *validator) redis(r Redis) {
	const key = "redis"
	if !r.Enabled() {
		if r.Username != "" || !r.Password.IsZero() || r.PasswordFile != "" || r.TLS != (RedisTLS{}) || r.Database != 0 {
			v.problem(key+".address", "is missing: write host:port, such as redis:6379")
		}
		return
	}
	if err := checkRedisAddress(r.Address); err != nil {
		v.problem(key+".address", "%s", err)
	}
	password := !r.Password.IsZero()
	switch {
	case password && r.PasswordFile != "":
		v.problem(key+".password_file", "is set together with password: keep one")
	case r.Username != "" && !password && r.PasswordFile == "":
		v.problem(key+".username", "is set without a password: add password or password_file")
	}
	v.between(key+".database", r.Database, 0, mostDatabases)
	if len(r.Prefix) > longestPrefix || strings.ContainsAny(r.Prefix, "{}") {
		v.problem(key+".prefix", "%s is no prefix: write at most %d bytes without braces", quote(r.Prefix), longestPrefix)
	}
	v.both(key+".tls", "cert_file", r.TLS.CertFile, "key_file", r.TLS.KeyFile)
	if !r.TLS.Enabled && (r.TLS.CAFile != "" || r.TLS.CertFile != "") {
		v.problem(key+".tls.enabled", "is false, so that the other keys of tls have no use: set it to true")
	}
}

// checkRedisAddress quotes nothing: a password might stand in what should be an address.
func checkRedisAddress(address string) error {
	if socket, ok := strings.CutPrefix(address, socketScheme); ok {
		if !filepath.IsAbs(socket) {
			return errors.New("names no socket: write unix:// and an absolute path")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, "/@ ") {
		return errors.New("is no address: write host:port, such as redis:6379, or unix:// and the path of a socket")
	}
	return nil
}
