package config

// TLS is how a listener speaks HTTPS. Certificate and key are both set, or none. The files are read again when they change.
type TLS struct {
	// CertFile is a PEM file with the certificate followed by its intermediates.
	CertFile string `yaml:"cert_file"`
	// KeyFile is a PEM file with the certificate's private key.
	KeyFile string `yaml:"key_file"`
	// Certificates are further ones. A client is shown the first that is for the name it asks for, by default CertFile's.
	Certificates []Certificate `yaml:"certificates"`
	// ClientCAFile is a PEM file of the authorities that sign clients' certificates.
	ClientCAFile string `yaml:"client_ca_file"`
	// ClientAuth says whether clients are asked for a certificate.
	ClientAuth ClientAuth `yaml:"client_auth"`
}

// Enabled reports whether a certificate is configured.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// ClientAuth says whether clients are asked for a certificate.
type ClientAuth string

// The choices for client_auth.
const (
	ClientAuthNone    ClientAuth = "none"    // clients are not asked
	ClientAuthRequest ClientAuth = "request" // one that is given must be valid
	ClientAuthRequire ClientAuth = "require" // there is no connection without
)

// Asks reports whether certificates can identify clients.
func (a ClientAuth) Asks() bool { return a == ClientAuthRequest || a == ClientAuthRequire }

// UnmarshalText accepts the name of a choice.
func (a *ClientAuth) UnmarshalText(text []byte) error {
	return oneOf(a, text, ClientAuthNone, ClientAuthRequest, ClientAuthRequire)
}

// Certificate is one of a listener's certificates beside the first.
type Certificate struct {
	// CertFile and KeyFile are as in TLS.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}
