package upstream

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	maxMessage = 400 // bytes of foreign text in an error message
	maxWord    = 100 // longer words are tokens or noise
	hidden     = "…"
)

// scrubbed is an error whose text is fit to be printed; the chain below it stays available to errors.Is and errors.As.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// Scrub returns err with its text cleaned; errors.Is and errors.As see through it.
func Scrub(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	return &scrubbed{text: Clean(err.Error(), secrets...), err: err}
}

// Clean makes foreign text fit for one line of an error message: bounded, printable, and without the given secrets, URL
// queries, URL user names and anything that looks like a token.
func Clean(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, hidden)
		}
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	words := strings.FieldsFunc(s, func(r rune) bool { return !legible.Shows(r) || r == ' ' })
	size := 0
	for i, w := range words {
		words[i] = cleanWord(w)
		if i > 0 && (strings.EqualFold(words[i-1], "Basic") || strings.EqualFold(words[i-1], "Bearer")) {
			words[i-1], words[i] = hidden, hidden // an echo of an Authorization header, however its value looks
		}
		if size += len(words[i]) + 1; size > maxMessage {
			return strings.Join(append(words[:i:i], hidden), " ")
		}
	}
	return strings.Join(words, " ")
}

func cleanWord(w string) string {
	if at := strings.Index(w, "://"); at >= 0 {
		rest := w[at+3:]
		authority, _, _ := strings.Cut(rest, "/")
		if i := strings.LastIndex(authority, "@"); i >= 0 {
			w = w[:at+3] + hidden + rest[i:]
		}
	}
	if i := strings.IndexAny(w, "?#"); i >= 0 && i+1 < len(w) {
		w = w[:i+1] + hidden
	}
	if looksLikeToken(w) {
		return hidden
	}
	return w
}

// looksLikeToken reports whether a word is a JSON web token or too long to be language.
func looksLikeToken(w string) bool {
	if strings.Contains(w, "eyJ") && len(w) > 20 {
		return true
	}
	return len(w) > maxWord && digest.Digest(strings.Trim(w, `"',:;()[]{}`)).Validate() != nil
}

// secretsOf returns what must not be repeated of a request: the value of its Authorization header and, for basic
// authentication, what is encoded in it.
func secretsOf(req *http.Request) []string {
	if req == nil {
		return nil
	}
	_, value, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok {
		return nil
	}
	secrets := []string{value}
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
		if _, password, ok := strings.Cut(string(plain), ":"); ok {
			secrets = append(secrets, string(plain), password)
		}
	}
	return secrets
}
