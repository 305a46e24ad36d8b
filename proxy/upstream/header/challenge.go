package header

import (
	"net/http"
	"strings"
)

const (
	maxChallenges      = 8
	maxChallengeParams = 16
	maxChallengeBytes  = 16 << 10
)

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1).
type Challenge struct {
	// Scheme and the names of Params are in lower case.
	Scheme string
	Params map[string]string
}

// PickChallenge returns the challenge to answer: bearer before basic. ok is false when there is neither.
func PickChallenge(h http.Header) (ch Challenge, ok bool) {
	for _, value := range h.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(value) {
			switch {
			case c.Scheme == "bearer" && c.Params["realm"] != "":
				return c, true
			case c.Scheme == "basic" && !ok:
				ch, ok = c, true
			}
		}
	}
	return ch, ok
}

// parseChallenges reads one WWW-Authenticate field, which may hold several challenges. What follows the first syntax
// error is dropped.
func parseChallenges(value string) []Challenge {
	if len(value) > maxChallengeBytes {
		return nil
	}
	var all []Challenge
	p := fields{rest: value}
	for {
		p.skip(" \t,")
		word := p.token()
		if word == "" {
			return all
		}
		p.skip(" \t")
		if !p.accept('=') {
			if len(all) == maxChallenges {
				return all
			}
			all = append(all, Challenge{Scheme: strings.ToLower(word), Params: map[string]string{}})
			continue
		}
		p.skip(" \t")
		text, ok := p.value()
		if !ok || len(all) == 0 {
			return all
		}
		if params := all[len(all)-1].Params; len(params) < maxChallengeParams {
			if name := strings.ToLower(word); params[name] == "" {
				params[name] = text
			}
		}
	}
}
