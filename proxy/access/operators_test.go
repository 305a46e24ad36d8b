package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/proxy/config"
)

func TestOperators(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef-token"
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
	}{
		{"nobody has to", config.Admin{}, nil, 0, ""},
		{"token", secret, bearer(token), 0, ""},
		{"token of a file", file, bearer(token), 0, ""},
		{"no token", secret, nil, 401, `Bearer realm="strata admin"`},
		{"wrong token", secret, bearer(token[1:]), 401, `Bearer realm="strata admin"`},
		{"empty token", secret, bearer(""), 401, `Bearer realm="strata admin"`},
		{"token as a password", secret, basic("", token), 401, `Bearer realm="strata admin"`},
		{"password", passwords, basic("root", "secret"), 0, ""},
		{"wrong password", passwords, basic("root", "x"), 401, `Basic realm="strata admin"`},
		{"certificate", certs, certified(subject("root")), 0, ""},
		{"no certificate", certs, nil, 403, ""},
		{"one of many", all, certified(subject("root")), 0, ""},
		{"none of many", all, basic("eve", "x"), 401, `Basic realm="strata admin"`},
		{"wrong password with a certificate", all, func(r *http.Request) {
			basic("root", "x")(r)
			certified(subject("root"))(r)
		}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, err := NewOperators(tc.admin, nil)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			status, _ := o.Check(w, request(tc.sends))
			if got := w.Header().Get("WWW-Authenticate"); status != tc.status || got != tc.challenge {
				t.Errorf("%d, %q", status, got)
			}
		})
	}
	if _, err := NewOperators(config.Admin{TokenFile: put(t, "token", "short")}, nil); err == nil ||
		strings.Contains(err.Error(), ": short") {
		t.Error(err)
	}
}
