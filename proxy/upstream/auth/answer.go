package auth

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	// maxAnswer bounds a token service's answer, in bytes: tokens with many groups in them reach tens of kilobytes.
	maxAnswer = 256 << 10
	// defaultLife is how long a token lives that does not tell, by the token specification.
	defaultLife = 60 * time.Second
	// maxLife bounds what an answer tells.
	maxLife = 24 * time.Hour
)

// tokenAnswer is a token service's answer as far as it was understood.
type tokenAnswer struct {
	token string
	life  time.Duration
	codes []string // of an error document that came instead
}

// parseAnswer reads the answer of a token service: `token` or, as OAuth2 has it, `access_token`; how long it lives as a
// number or as text. A time to live that is missing, not positive or no number is the specification's 60 seconds.
// `issued_at` is not looked at: it is of another machine's clock. An answer without a token, whatever its status, is no
// grant.
func parseAnswer(body []byte) tokenAnswer {
	var raw struct {
		Token       json.RawMessage `json:"token"`
		AccessToken json.RawMessage `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return tokenAnswer{}
	}
	a := tokenAnswer{token: headerText(raw.AccessToken), life: lifeOf(raw.ExpiresIn)}
	if a.token == "" {
		a.token = headerText(raw.Token)
	}
	if a.token == "" {
		a.codes = upstream.ErrorCodes(body)
	}
	return a
}

// headerText returns a JSON string that may be part of a header field, or nothing.
func headerText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return ""
		}
	}
	return s
}

// lifeOf reads a number of seconds: 300, 300.0, "300".
func lifeOf(raw json.RawMessage) time.Duration {
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = quoted
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 1) { // not a number included
		return defaultLife
	}
	return time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second))
}
