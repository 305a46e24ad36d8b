package main

import (
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

// explain says what to do when no proxy answers.
func (f remoteFlags) explain(err error) error {
	var request *url.Error
	var login *loginError
	var answer *admin.APIError
	switch {
	case errors.As(err, &login):
		return usageError{login}
	case errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: set STRATA_ADMIN_TOKEN, or name a --token-file, or --username and --password-file", err)
	case !errors.As(err, &request):
		return err
	}
	cause := request.Err
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		cause = errno
	}
	return fmt.Errorf("no proxy answers at %s: %w: is `strata serve` running? --admin names another address", f.url(), cause)
}
