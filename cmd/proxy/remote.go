package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"

	"github.com/strata-oci/strata/proxy/admin"
)

// remoteFlags are common to the commands that talk to a running proxy.
type remoteFlags struct {
	Admin string `help:"Address of the proxy's admin listener." default:"http://127.0.0.1:5001" env:"STRATA_ADMIN_URL" placeholder:"URL"`
	JSON  bool   `help:"Print a JSON document."`
}

// url is the base URL of the admin listener; its scheme may be left out.
func (f remoteFlags) url() string {
	if strings.Contains(f.Admin, "://") {
		return f.Admin
	}
	return "http://" + f.Admin
}

func (f remoteFlags) client() *admin.Client { return admin.NewClient(f.url(), nil) }

// explain says what to do when no proxy answers.
func (f remoteFlags) explain(err error) error {
	var request *url.Error
	if !errors.As(err, &request) {
		return err
	}
	cause := request.Err
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		cause = errno
	}
	return fmt.Errorf("no proxy answers at %s: %w: is `strata serve` running? --admin names another address", f.url(), cause)
}
