// Package access finds out who clients and operators are, and decides who may pull what.
//
// Passwords are checked against bcrypt hashes, tokens by distribution's token package, both kept from what they should not
// be given: files that are broken, keys that are secret, floods of logins. Files are read again when they change; a broken
// one leaves the one before in use.
package access

import (
	"crypto/x509"
	"errors"
	"net/http"
	"time"
)

// Login is who sent a request. The zero value is somebody who did not log in.
type Login struct {
	Name string
	// Groups are the organizations of a certificate.
	Groups []string
}

// ErrDenied is in the chain of errors about credentials that are wrong.
var ErrDenied = errors.New("the credentials are wrong")

// BusyError says that too many logins are being checked, or too many failed.
type BusyError struct {
	// RetryAfter is when to try again.
	RetryAfter time.Duration
}

// Error says so.
func (e *BusyError) Error() string { return "too many logins" }

// certificateLogin returns who a verified client certificate names: the subject's common name, else the first URI, DNS name
// or e-mail address; the subject's organizations are groups. False: there is no certificate, or it names nobody.
func certificateLogin(r *http.Request) (Login, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return Login{}, false
	}
	c := r.TLS.PeerCertificates[0]
	l := Login{Name: certificateName(c), Groups: c.Subject.Organization}
	return l, l.Name != ""
}

func certificateName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	}
	return ""
}
