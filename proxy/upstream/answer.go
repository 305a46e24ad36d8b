package upstream

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/upstream/header"
)

const (
	// MaxErrorDocument is how many bytes of an error document are read.
	MaxErrorDocument = 64 << 10
	maxErrorCodes    = 16
)

// errorDocument is an OCI error document as far as it was understood: codes in upper case, and the first one's message.
type errorDocument struct {
	codes   []string
	message string
}

// parseErrorDocument reads the error document of the OCI distribution specification. Anything else gives an empty document.
func parseErrorDocument(body []byte) errorDocument {
	var raw struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message json.RawMessage `json:"message"`
		} `json:"errors"`
	}
	var doc errorDocument
	if json.Unmarshal(body, &raw) != nil {
		return doc
	}
	for i, e := range raw.Errors {
		if i == maxErrorCodes {
			break
		}
		code := strings.ToUpper(e.Code)
		if !validCode(code) {
			continue
		}
		if len(doc.codes) == 0 {
			_ = json.Unmarshal(e.Message, &doc.message) // a message that is no string stays empty
		}
		doc.codes = append(doc.codes, code)
	}
	return doc
}

// ErrorCodes returns the codes of an OCI error document, in upper case, at most 16; none of anything else.
func ErrorCodes(document []byte) []string { return parseErrorDocument(document).codes }

// ValidCodes returns the error codes among some words, in upper case, at most 16.
func ValidCodes(words []string) []string {
	var codes []string
	for _, w := range words {
		if code := strings.ToUpper(w); validCode(code) && len(codes) < maxErrorCodes {
			codes = append(codes, code)
		}
	}
	return codes
}

// validCode reports whether s is an error code: up to 64 letters, digits and underscores.
func validCode(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// StatusError turns a response that is no success into an error and closes its body.
func StatusError(resp *http.Response, now time.Time) *Error {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, MaxErrorDocument)) // what arrived of a broken document serves as well
	doc := parseErrorDocument(body)
	e := &Error{
		Kind:       StatusKind(resp.StatusCode, doc.codes),
		Status:     resp.StatusCode,
		RetryAfter: header.RetryAfter(resp.Header.Get("Retry-After"), now),
	}
	if len(doc.codes) > 0 {
		e.Code = doc.codes[0]
		text := e.Code
		if doc.message != "" {
			text += ": " + doc.message
		}
		e.Err = errors.New(Clean(text, secretsOf(resp.Request)...))
	} else if resp.StatusCode == http.StatusBadRequest && resp.Request != nil && resp.Request.URL.Scheme == "http" {
		e.Err = errPlain
	}
	return e
}
