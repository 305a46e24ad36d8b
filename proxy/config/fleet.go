package config

import "time"

// Fleet says how hosts are told apart, to count who runs what. Without Identify none are counted.
type Fleet struct {
	// Identify is what names a host.
	Identify Identify `yaml:"identify"`
	// Retention is for how long a host that is not seen any more is remembered.
	Retention Duration `yaml:"retention"`
}

// Enabled reports whether hosts are counted.
func (f Fleet) Enabled() bool { return f.Identify != "" }

// Identify is what names a host that is counted.
type Identify string

// What names hosts: where they connect from; the name that they log in with; that of their certificate.
const (
	IdentifyAddress     Identify = "address"
	IdentifyUser        Identify = "user"
	IdentifyCertificate Identify = "certificate"
)

// UnmarshalText takes one of the names.
func (i *Identify) UnmarshalText(text []byte) error {
	return oneOf(i, text, IdentifyAddress, IdentifyUser, IdentifyCertificate)
}

const shortestRetention = time.Hour

func (v *validator) fleet(c *Config) {
	f := c.Fleet
	if f.Identify == IdentifyCertificate && !c.TLS.ClientAuth.Asks() {
		v.problem("fleet.identify", "is certificate, and no client is asked for one: set tls.client_auth")
	}
	v.duration("fleet.retention", f.Retention, false)
	if time.Duration(f.Retention) < shortestRetention {
		v.problem("fleet.retention", "%s is shorter than the limit of %s", f.Retention, Duration(shortestRetention))
	}
}
