package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/strata-oci/strata/proxy/admin"
)

// remoteFlags are common to the commands that talk to a running proxy.
type remoteFlags struct {
	Admin string `help:"Address of the proxy's admin listener." default:"http://127.0.0.1:5001" env:"STRATA_ADMIN_URL" placeholder:"URL"`
	JSON  bool   `help:"Print a JSON document."`
	loginFlags
}

// url is the base URL of the admin listener; its scheme may be left out.
func (f remoteFlags) url() string {
	if strings.Contains(f.Admin, "://") {
		return f.Admin
	}
	return "http://" + f.Admin
}

func (f remoteFlags) client() *admin.Client {
	return admin.NewClient(f.url(), f.loginFlags.client(f.url()))
}

// explain says what to do when no proxy answers, or not the one that was meant.
func (f remoteFlags) explain(err error) error {
	var request *url.Error
	var login *loginError
	var answer *admin.APIError
	switch {
	case errors.As(err, &login):
		return usageError{login}
	case errors.As(err, &answer):
		return f.explainAnswer(answer, err)
	case errors.As(err, &request):
		return f.explainSilence(request, err)
	}
	return err
}

// explainAnswer says what to do about an answer that is an error.
func (f remoteFlags) explainAnswer(answer *admin.APIError, err error) error {
	switch {
	case answer.From == admin.Registry:
		return fmt.Errorf("%s is a registry, such as the port that clients pull from: --admin takes the address of admin.listen, "+
			"the proxy's listener for operators", f.url())
	case answer.From == admin.TLSListener:
		return fmt.Errorf("the proxy at %s speaks HTTPS: --admin %s", f.url(), f.otherScheme("https"))
	case answer.From == admin.Stranger:
		return fmt.Errorf("what answers at %s is no strata (%w): --admin takes the address of admin.listen, the proxy's listener "+
			"for operators", f.url(), err)
	case answer.StatusCode == http.StatusUnauthorized && f.given():
		return fmt.Errorf("the proxy at %s does not know this login: compare it with admin.token or admin.htpasswd_file there",
			f.url())
	case answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: set STRATA_ADMIN_TOKEN, or name a --token-file, or --username and --password-file", err)
	}
	return err
}

// explainSilence says what to do when there is no answer.
func (f remoteFlags) explainSilence(request *url.Error, err error) error {
	cause := request.Err
	var untrusted x509.UnknownAuthorityError
	var named x509.HostnameError
	switch errno := syscall.Errno(0); {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("the proxy at %s speaks plain HTTP: --admin %s", f.url(), f.otherScheme("http"))
	case errors.As(err, &untrusted):
		return fmt.Errorf("the certificate at %s is of an authority that this machine does not trust: name its PEM file with "+
			"--ca-file", f.url())
	case errors.As(err, &named):
		return fmt.Errorf("the certificate at %s is for another name: %w: call the proxy by it with --admin", f.url(), named)
	case strings.Contains(err.Error(), "tls: certificate required"): // the alert has no type
		return fmt.Errorf("the proxy at %s wants a client certificate: --cert-file and --key-file", f.url())
	case errors.As(err, &errno):
		cause = errno
	}
	return fmt.Errorf("no proxy answers at %s: %w: is `strata serve` running? --admin names another address", f.url(), cause)
}

// otherScheme is the address with another scheme.
func (f remoteFlags) otherScheme(scheme string) string {
	_, rest, _ := strings.Cut(f.url(), "://")
	return scheme + "://" + rest
}
