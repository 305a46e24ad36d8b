package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/limits"
	"github.com/strata-oci/strata/proxy/livefile"
)

// Operators decide who may use the listener for operators. They are safe for concurrent use.
type Operators struct {
	token        func() [sha256.Size]byte // nil: none
	passwords    *Passwords               // nil: none
	certificates bool
}

// shortestToken is the least length of a token in a file, in bytes.
const shortestToken = 16

// NewOperators makes them of a configuration, and reads the files that it names.
func NewOperators(c config.Admin, log *slog.Logger) (*Operators, error) {
	o := &Operators{certificates: c.TLS.ClientAuth.Asks()}
	switch {
	case !c.Token.IsZero():
		sum := sha256.Sum256([]byte(c.Token.Reveal()))
		o.token = func() [sha256.Size]byte { return sum }
	case c.TokenFile != "":
		file, err := livefile.New([]string{c.TokenFile}, parseToken, livefile.Options{What: "admin token", Logger: log})
		if err != nil {
			return nil, fmt.Errorf("admin.token_file: %w", err)
		}
		o.token = file.Get
	}
	if c.HtpasswdFile != "" {
		var err error
		if o.passwords, err = NewPasswords(c.HtpasswdFile, log); err != nil {
			return nil, fmt.Errorf("admin.htpasswd_file: %w", err)
		}
	}
	return o, nil
}

func parseToken(contents [][]byte) ([sha256.Size]byte, error) {
	token := bytes.TrimSpace(contents[0])
	if len(token) < shortestToken {
		return [sha256.Size]byte{}, fmt.Errorf("the token is shorter than %d characters, so it can be guessed",
			shortestToken)
	}
	return sha256.Sum256(token), nil
}

// LogsIn reports whether operators have to say who they are.
func (o *Operators) LogsIn() bool { return o.token != nil || o.passwords != nil || o.certificates }

// Check returns 0 for a request of an operator, else the status and the message of the answer, for which it sets headers.
func (o *Operators) Check(w http.ResponseWriter, r *http.Request) (status int, message string) {
	if !o.LogsIn() {
		return 0, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if o.token != nil && strings.EqualFold(scheme, "bearer") {
		sent, want := sha256.Sum256([]byte(strings.TrimSpace(token))), o.token()
		if subtle.ConstantTimeCompare(sent[:], want[:]) == 1 {
			return 0, ""
		}
	}
	if user, password, ok := r.BasicAuth(); ok && o.passwords != nil {
		var busy *BusyError
		switch err := o.passwords.Check(r.Context(), user, password, limits.Address(r.RemoteAddr)); {
		case err == nil:
			return 0, ""
		case errors.As(err, &busy):
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(busy.RetryAfter.Seconds()))))
			return http.StatusTooManyRequests, "too many logins"
		case !errors.Is(err, ErrDenied):
			return http.StatusServiceUnavailable, "logins cannot be checked now"
		}
	}
	if _, ok := certificateLogin(r); ok && o.certificates {
		return 0, ""
	}
	return o.refuse(w)
}

// refuse says how to log in.
func (o *Operators) refuse(w http.ResponseWriter) (status int, message string) {
	if o.passwords != nil {
		w.Header().Add("WWW-Authenticate", `Basic realm="strata admin"`)
	}
	if o.token != nil {
		w.Header().Add("WWW-Authenticate", `Bearer realm="strata admin"`)
	}
	if o.passwords == nil && o.token == nil {
		return http.StatusForbidden, "this listener wants a client certificate"
	}
	return http.StatusUnauthorized, "this listener wants a login"
}
