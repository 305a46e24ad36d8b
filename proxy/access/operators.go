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
	"github.com/strata-oci/strata/rechunk/legible"
)

// Operators decide who may use the listener for operators. They are safe for concurrent use.
//
// A certificate and a token are held against what is right at once, and so is a password that was right before. All else
// goes through one brake, whatever was tried: who is let in never waits behind somebody who guesses from the same address.
type Operators struct {
	token        func() [sha256.Size]byte // nil: none
	passwords    *Passwords               // nil: none
	certificates bool
	brake        *brake
	known        *knownPasswords
}

// shortestToken is the least length of a token in a file, in bytes.
const shortestToken = 16

// NewOperators makes them of a configuration, and reads the files that it names. They go on with what those before knew of
// who guesses, and of who was right; nil: there were none.
func NewOperators(c config.Admin, before *Operators, log *slog.Logger) (*Operators, error) {
	o := &Operators{
		certificates: c.TLS.ClientAuth.Asks(), brake: newBrake(maxWaitingOperators), known: newKnownPasswords(),
	}
	if before != nil {
		o.brake, o.known = before.brake, before.known
	}
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
		if o.passwords, err = newPasswords(c.HtpasswdFile, o.known, o.brake, log); err != nil {
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

// Check returns who sent a request, by what was checked of it and nothing else: the name in a certificate, the user whose
// password was right, that it was the token and from which address, or the address where nobody has to log in. Who is not
// let in is "", with the status and the message of the answer, for which it sets headers.
func (o *Operators) Check(w http.ResponseWriter, r *http.Request) (by string, status int, message string) {
	if !o.LogsIn() {
		return peer(r), 0, ""
	}
	if login, ok := certificateLogin(r); ok && o.certificates {
		return legible.Clip(login.Name, maxBy), 0, ""
	}
	by, err := o.credentials(r)
	var busy *BusyError
	switch {
	case err == nil:
		return by, 0, ""
	case errors.As(err, &busy):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(busy.RetryAfter.Seconds()))))
		return "", http.StatusTooManyRequests, "too many wrong logins come from this address"
	case !errors.Is(err, ErrDenied):
		return "", http.StatusServiceUnavailable, "logins cannot be checked now"
	}
	status, message = o.refuse(w)
	return "", status, message
}

// credentials returns whose Authorization header a request has. What cannot be right is as slow as what is wrong.
func (o *Operators) credentials(r *http.Request) (by string, err error) {
	from := limits.Address(r.RemoteAddr)
	user, password, basic := r.BasicAuth()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
		return "", ErrDenied
	case o.token != nil && strings.EqualFold(scheme, "bearer") && sameToken(token, o.token()):
		return "the token at " + peer(r), nil
	case basic && user != "" && o.passwords != nil:
		return legible.Clip(user, maxBy), o.passwords.Check(r.Context(), user, password, from)
	}
	return "", o.brake.wrong(r.Context(), from)
}

// Wrong slows down who sent a secret that is wrong and none of an operator's, as Check does. It returns a *BusyError when
// there were too many.
func (o *Operators) Wrong(r *http.Request) error {
	if err := o.brake.wrong(r.Context(), limits.Address(r.RemoteAddr)); !errors.Is(err, ErrDenied) {
		return err
	}
	return nil
}

// sameToken compares without telling by its time how much is right.
func sameToken(sent string, want [sha256.Size]byte) bool {
	sum := sha256.Sum256([]byte(strings.TrimSpace(sent)))
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1
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

// peer is the address that a request comes from, without the port.
func peer(r *http.Request) string {
	if address := limits.Peer(r.RemoteAddr); address.IsValid() {
		return address.String()
	}
	return "a local socket"
}

// maxBy bounds what is told of who did something, in bytes.
const maxBy = 256
