package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // registers itself as "htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// Bounds on a password file. Each step of the cost doubles the time of a login: 15 takes seconds.
const (
	maxUsers = 10_000
	maxCost  = 15
)

// checkHtpasswd returns the greatest bcrypt cost of a password file's entries, or what is wrong with it, without quoting a line.
func checkHtpasswd(content []byte) (cost int, err error) {
	seen := map[string]int{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		user, hash, found := strings.Cut(string(line), ":")
		if !found || user == "" {
			return 0, fmt.Errorf("line %d: it is not a user name, a colon and a bcrypt hash", number)
		}
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil || len(hash) != 60:
			return 0, fmt.Errorf("line %d: the hash is not bcrypt's: write it with htpasswd -B", number)
		case c > maxCost:
			return 0, fmt.Errorf("line %d: the hash has the cost %d, so that each login would take seconds; the limit is %d", number, c, maxCost)
		case seen[user] > 0:
			return 0, fmt.Errorf("line %d: the user stands in line %d already", number, seen[user])
		case len(seen) >= maxUsers:
			return 0, fmt.Errorf("line %d: there are more than %d users, which is the limit", number, maxUsers)
		}
		seen[user] = number
		cost = max(cost, c)
	}
	if len(seen) == 0 {
		return 0, errors.New("it has no users: add one with htpasswd -B")
	}
	return cost, nil
}

// htpasswdFile checks passwords by distribution's controller, which reads the file whenever it changes, makes one where there is
// none, and fails on a broken one. So it gets a copy of each content that is fit for use, at a path of its own.
type htpasswdFile struct{ path string }

func newHtpasswdFile(dir string) (htpasswdFile, error) {
	f, err := os.CreateTemp(dir, "htpasswd-*")
	if err != nil {
		return htpasswdFile{}, err
	}
	return htpasswdFile{f.Name()}, f.Close()
}

func (f htpasswdFile) remove() error { return os.Remove(f.path) }

// controller puts content in place and returns what checks passwords against it. Users that do not exist take as long as those that
// do: the hash that they are compared with has the cost of the dearest entry.
func (f htpasswdFile) controller(content []byte) (auth.AccessController, error) {
	cost, err := checkHtpasswd(content)
	if err != nil {
		return nil, err
	}
	dummy, err := bcrypt.GenerateFromPassword([]byte("nobody"), cost)
	if err != nil {
		return nil, err
	}
	if err := f.replace(content); err != nil {
		return nil, err
	}
	return controller("htpasswd", map[string]any{"realm": "strata", "path": f.path, "overrideDummyHash": dummy})
}

func (f htpasswdFile) replace(content []byte) error {
	next, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+"-*")
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	err = errors.Join(err, next.Close())
	if err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}

// controller makes one of distribution's access controllers. A panic over its options becomes an error.
func controller(kind string, options map[string]any) (c auth.AccessController, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("%s authentication cannot be set up: %v", kind, p)
		}
	}()
	return auth.GetAccessController(kind, options)
}

// authorize asks a controller with the credentials of a request and nothing else of it: what the controller logs is then its own. The
// challenge is what the client should answer; the error is not the client's fault.
func authorize(ctx context.Context, c auth.AccessController, authorization string, wanted ...auth.Access) (grant *auth.Grant, challenge auth.Challenge, err error) {
	defer func() {
		if p := recover(); p != nil {
			grant, challenge, err = nil, nil, fmt.Errorf("checking the credentials panicked: %v", p)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", authorization)
	grant, err = c.Authorized(r, wanted...)
	if errors.As(err, &challenge) {
		return nil, challenge, nil
	}
	if err == nil && grant == nil {
		err = errors.New("the credentials were neither accepted nor refused")
	}
	return grant, nil, err
}
