package access

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Bounds on a password file. Each step of the cost doubles the time of a login: 15 takes seconds.
const (
	maxUsers = 10_000
	maxCost  = 15
	hashSize = 60 // characters of a bcrypt hash
)

// hashes are the entries of a password file, by user.
type hashes struct {
	of map[string][]byte
	// nobody is the hash that users who do not exist are compared with. It has the cost of the dearest entry, so that they
	// take as long as those who do.
	nobody []byte
}

// parseHtpasswd reads a password file, or says what is wrong with it, without quoting a line.
func parseHtpasswd(content []byte) (*hashes, error) {
	h := &hashes{of: map[string][]byte{}}
	lines := map[string]int{}
	number, cost := 0, 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		user, hash, found := strings.Cut(string(line), ":")
		if !found || user == "" {
			return nil, fmt.Errorf("line %d: it is not a user name, a colon and a bcrypt hash", number)
		}
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil || len(hash) != hashSize:
			return nil, fmt.Errorf("line %d: the hash is not bcrypt's: write it with htpasswd -B", number)
		case c > maxCost:
			return nil, fmt.Errorf("line %d: the hash has the cost %d, so that each login would take seconds; the limit is %d",
				number, c, maxCost)
		case lines[user] > 0:
			return nil, fmt.Errorf("line %d: the user stands in line %d already", number, lines[user])
		case len(lines) >= maxUsers:
			return nil, fmt.Errorf("line %d: there are more than %d users, which is the limit", number, maxUsers)
		}
		h.of[user], lines[user] = []byte(hash), number
		cost = max(cost, c)
	}
	if len(lines) == 0 {
		return nil, errors.New("it has no users: add one with htpasswd -B")
	}
	var err error
	h.nobody, err = bcrypt.GenerateFromPassword([]byte("nobody"), cost)
	return h, err
}

// match reports whether a password is a user's. It takes as long whatever the answer is.
func (h *hashes) match(user, password string) bool {
	hash, known := h.of[user]
	if !known {
		hash = h.nobody
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
}
