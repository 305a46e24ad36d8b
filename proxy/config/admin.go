package config

// Admin is the listener for operators: metrics, health, API and pages. On an address that other machines reach it needs
// a way to log in.
type Admin struct {
	// Listen is its address, "host:port".
	Listen string `yaml:"listen"`
	// TLS makes it speak HTTPS; a client certificate is a login.
	TLS TLS `yaml:"tls"`
	// Token is a password without a user name, sent as a bearer token. TokenFile holds it in a file.
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"`
	// HtpasswdFile holds user names and bcrypt hashes.
	HtpasswdFile string `yaml:"htpasswd_file"`
	// Insecure lets everybody in who reaches the listener.
	Insecure bool `yaml:"insecure"`
	// Hosts are the names that operators call the listener by. Addresses, names without a dot and those of its certificate
	// need not be listed. A request under any other name is refused, since a site can give its own name the listener's
	// address.
	Hosts HostList `yaml:"hosts"`
}

// LogsIn reports whether operators have to say who they are.
func (a Admin) LogsIn() bool {
	return !a.Token.IsZero() || a.TokenFile != "" || a.HtpasswdFile != "" || a.TLS.ClientAuth.Asks()
}
