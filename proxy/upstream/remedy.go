package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
)

// errPlain is what servers that speak HTTPS make of plain HTTP: a status, and no document of a registry.
var errPlain = errors.New("plain HTTP is refused")

// remedy says which key of the configuration helps against a failure of the connection, or nothing.
func (e *Error) remedy() string {
	key := "upstreams." + e.Host + "."
	switch trouble := connectionTrouble(e); {
	case e.Host == "":
		return ""
	case trouble == plainHTTP:
		return "the registry speaks plain HTTP: set " + key + "insecure to true if that is meant"
	case trouble == speaksTLS:
		return "the registry speaks HTTPS: write https:// in " + key + "url, or remove insecure"
	case trouble == unknownAuthority:
		return "name the PEM file of the authority that signed its certificate in " + key + "ca_file"
	case trouble == otherName:
		return "name the registry as its certificate does in " + key + "url"
	case trouble == wantsCertificate:
		return "set " + key + "client_cert_file and client_key_file"
	case trouble == notPublic:
		return "a registry at such an address has to stand under upstreams; where one leads there, in " + key + "redirect_hosts"
	}
	return ""
}

// trouble is what goes wrong before a registry can answer.
type trouble int

const (
	noTrouble trouble = iota
	plainHTTP         // where TLS was spoken
	speaksTLS
	unknownAuthority
	otherName
	wantsCertificate
	notPublic // before anything was spoken
)

// connectionTrouble finds out what is wrong with a connection.
func connectionTrouble(e *Error) trouble {
	var (
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		named   x509.HostnameError
	)
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	switch {
	case errors.Is(e, ErrNotPublic):
		return notPublic
	case errors.Is(e, http.ErrSchemeMismatch), errors.As(e, &record):
		return plainHTTP
	case errors.Is(e, errPlain):
		return speaksTLS
	case errors.As(e, &unknown):
		return unknownAuthority
	case errors.As(e, &named):
		return otherName
	case strings.Contains(text, "tls: certificate required"), strings.Contains(text, "tls: handshake failure") &&
		strings.Contains(text, "remote error"):
		return wantsCertificate // an alert has no type
	}
	return noTrouble
}

// Untrusted reports whether there is no connection because one side does not trust the other's certificate or address, or
// speaks another protocol: the operator of the proxy has to change something.
func (e *Error) Untrusted() bool { return connectionTrouble(e) != noTrouble }
