package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/rechunk/legible"
)

func TestOperators(t *testing.T) {
	t.Parallel()
	const token, byToken = "0123456789abcdef-token", "the token at 192.0.2.1"
	secret := config.Admin{Token: config.NewSecret(token)}
	file := config.Admin{TokenFile: put(t, "token", token+"\n")}
	passwords := config.Admin{HtpasswdFile: put(t, "htpasswd", entry(t, "root", "secret", bcrypt.MinCost))}
	certs := config.Admin{TLS: config.TLS{ClientAuth: config.ClientAuthRequest}}
	all := config.Admin{Token: secret.Token, HtpasswdFile: passwords.HtpasswdFile, TLS: certs.TLS}
	for _, tc := range []struct {
		name      string
		admin     config.Admin
		sends     func(*http.Request)
		status    int
		challenge string
		by        string
	}{
		{"nobody has to", config.Admin{}, nil, 0, "", "192.0.2.1"},
		{"token", secret, bearer(token), 0, "", byToken},
		{"token of a file", file, bearer(token), 0, "", byToken},
		{"no token", secret, nil, 401, `Bearer realm="strata admin"`, ""},
		{"wrong token", secret, bearer(token[1:]), 401, `Bearer realm="strata admin"`, ""},
		{"empty token", secret, bearer(""), 401, `Bearer realm="strata admin"`, ""},
		{"token as a password", secret, basic("", token), 401, `Bearer realm="strata admin"`, ""},
		{"password", passwords, basic("root", "secret"), 0, "", "root"},
		{"wrong password", passwords, basic("root", "x"), 401, `Basic realm="strata admin"`, ""},
		{"certificate", certs, certified(subject("root")), 0, "", "root"},
		{"no certificate", certs, nil, 403, "", ""},
		{"one of many", all, certified(subject("root")), 0, "", "root"},
		{"none of many", all, basic("eve", "x"), 401, `Basic realm="strata admin"`, ""},
		{"wrong password with a certificate", all, func(r *http.Request) {
			basic("root", "x")(r)
			certified(subject("root"))(r)
		}, 0, "", "root"},
		// What nobody checked names nobody.
		{"a name where nobody has to", config.Admin{}, basic("alice", "x"), 0, "", "192.0.2.1"},
		{"a token where nobody has to", config.Admin{}, bearer("x"), 0, "", "192.0.2.1"},
		{"another name with a certificate", all, func(r *http.Request) {
			basic("alice", "x")(r)
			certified(subject("root"))(r)
		}, 0, "", "root"},
		{"a certificate that was not verified", config.Admin{}, func(r *http.Request) {
			certified(subject("root"))(r)
			r.TLS.VerifiedChains = nil
		}, 0, "", "192.0.2.1"},
		{"a name beside the token", secret, func(r *http.Request) {
			bearer(token)(r)
			r.Header.Add("Authorization", "Basic YWxpY2U6eA==")
		}, 0, "", byToken},
		{"a name of many lines", certs, certified(subject("a\x1b[2J\nb\xff" + strings.Repeat("ö", 200))), 0, "",
			legible.Clip("a\x1b[2J\nb\xff"+strings.Repeat("ö", 200), 256)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, err := NewOperators(tc.admin, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			by, status, _ := o.Check(w, request(tc.sends))
			if got := w.Header().Get("WWW-Authenticate"); status != tc.status || got != tc.challenge || by != tc.by {
				t.Errorf("%q, %d, %q", by, status, got)
			}
		})
	}
	if _, err := NewOperators(config.Admin{TokenFile: put(t, "token", "short")}, nil, nil); err == nil ||
		strings.Contains(err.Error(), ": short") {
		t.Error(err)
	}
}

// askers ask the operators' listener, all from one address.
type askers struct {
	t *testing.T
	o *Operators
}

func (a askers) ask(sends func(*http.Request)) (by string, status int) {
	r := request(sends)
	by, status, _ = a.o.Check(httptest.NewRecorder(), r)
	return by, status
}

// flood guesses n times at once until the end of the test's time, and returns how many guesses were looked at.
func (a askers) flood(n int, guess func(i int) func(*http.Request)) (looked *atomic.Int64, wait func()) {
	var wg sync.WaitGroup
	looked = &atomic.Int64{}
	for i := range n {
		wg.Go(func() {
			switch by, status := a.ask(guess(i)); {
			case by != "" || status == 0:
				a.t.Errorf("guess %d is let in as %q", i, by)
			case status == http.StatusUnauthorized:
				looked.Add(1)
			case status != http.StatusTooManyRequests:
				a.t.Errorf("guess %d: %d", i, status)
			}
		})
	}
	return looked, wg.Wait
}

// Guesses from one address are slowed down, whatever is guessed, and who is right does not wait for them: not the token,
// not a certificate, nor a password that was right before, also when the configuration and the password file have changed
// since.
func TestOperatorsBrake(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef-token"
	users := entry(t, "root", "secret", bcrypt.MinCost)
	admin := config.Admin{Token: config.NewSecret(token), HtpasswdFile: put(t, "htpasswd", users),
		TLS: config.TLS{ClientAuth: config.ClientAuthRequest}}
	for name, guess := range map[string]func(i int) func(*http.Request){
		"tokens":    func(i int) func(*http.Request) { return bearer(wrong(i)) },
		"passwords": func(i int) func(*http.Request) { return basic("root", wrong(i)) },
		"others": func(i int) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Authorization", "Negotiate "+wrong(i)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, err := NewOperators(admin, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if by, _ := (askers{t, first}).ask(basic("root", "secret")); by != "root" {
					t.Fatal(by)
				}
				more := admin
				more.HtpasswdFile = put(t, "htpasswd", users+entry(t, "eve", "x", bcrypt.MinCost))
				o, err := NewOperators(more, first, nil)
				if err != nil {
					t.Fatal(err)
				}
				a := askers{t, o}
				looked, wait := a.flood(200, guess)
				time.Sleep(failurePause / 2)
				synctest.Wait()
				for _, right := range []func(*http.Request){
					bearer(token), basic("root", "secret"), certified(subject("root")),
				} {
					start := time.Now()
					if by, status := a.ask(right); status != 0 || by == "" || time.Since(start) != 0 {
						t.Errorf("%q, %d after %s", by, status, time.Since(start))
					}
				}
				wait()
				if most := int64(mostFailures + 1 + longestWait/failurePause); looked.Load() > most {
					t.Errorf("%d guesses were looked at", looked.Load())
				}
				time.Sleep(failureWindow) // all turns end
			})
		})
	}
}
