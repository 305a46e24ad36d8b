package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// loginFlags say who the operator is, to a proxy that wants to know.
type loginFlags struct {
	TokenFile    string `help:"File with the admin token; STRATA_ADMIN_TOKEN holds the token itself." env:"STRATA_ADMIN_TOKEN_FILE" placeholder:"FILE"`
	Username     string `help:"User name, where the proxy has operators with passwords." env:"STRATA_ADMIN_USERNAME" placeholder:"NAME"`
	PasswordFile string `help:"File with the password." env:"STRATA_ADMIN_PASSWORD_FILE" placeholder:"FILE"`
	CAFile       string `help:"PEM file of authorities to trust beside the system's." env:"STRATA_ADMIN_CA_FILE" placeholder:"FILE"`
	CertFile     string `help:"PEM file with a client certificate." env:"STRATA_ADMIN_CERT_FILE" placeholder:"FILE"`
	KeyFile      string `help:"PEM file with its key." env:"STRATA_ADMIN_KEY_FILE" placeholder:"FILE"`
}

// loginError is a mistake in the login that was given.
type loginError struct{ err error }

func (e *loginError) Error() string { return e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }

// client returns an HTTP client that logs in. What is wrong with the login, its requests fail with.
func (f loginFlags) client(address string) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	config, err := f.tls()
	transport.TLSClientConfig = config
	header := ""
	if err == nil {
		header, err = f.header()
	}
	if err != nil {
		err = &loginError{err}
	}
	return &http.Client{
		Transport: &loginTransport{next: transport, header: header, err: err},
		// A login is for the address that was named, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return fmt.Errorf("%s leads elsewhere: it is no strata", address)
		},
	}
}

// given reports whether there is a login to send.
func (f loginFlags) given() bool {
	header, err := f.header()
	return err == nil && header != ""
}

func (f loginFlags) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CAFile != "" {
		b, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, err
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s has no certificate in PEM form", f.CAFile)
		}
	}
	if f.CertFile == "" && f.KeyFile == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate (--cert-file, --key-file): %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// header returns the Authorization header, if there is one to send.
func (f loginFlags) header() (string, error) {
	token := os.Getenv("STRATA_ADMIN_TOKEN") // no flag, which other users of the machine could read
	switch {
	case f.TokenFile != "" && f.Username != "":
		return "", errors.New("--token-file and --username are two logins: keep one")
	case f.Username != "":
		if f.PasswordFile == "" {
			return "", errors.New("--username needs --password-file")
		}
		password, err := secretFile(f.PasswordFile)
		if err != nil {
			return "", err
		}
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(f.Username, password)
		return r.Header.Get("Authorization"), nil
	case token == "" && f.TokenFile != "":
		var err error
		if token, err = secretFile(f.TokenFile); err != nil {
			return "", err
		}
	}
	if token == "" {
		return "", nil
	}
	return "Bearer " + token, nil
}

func secretFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// loginTransport sends a login with each request.
type loginTransport struct {
	next   http.RoundTripper
	header string
	err    error
}

// RoundTrip implements http.RoundTripper.
func (t *loginTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.err != nil {
		return nil, t.err
	}
	if t.header != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", t.header)
	}
	return t.next.RoundTrip(r)
}
