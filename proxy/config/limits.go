package config

// Limits bound what clients can take of the proxy. 0 means no limit where it is allowed.
type Limits struct {
	// Connections is how many connections of clients are open at once, and ConnectionsPerAddress how many of them from one
	// address. Further ones are closed as they come. 0: no limit.
	Connections           int `yaml:"connections"`
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	// Requests is how many requests of clients are under way at once, and RequestsPerAddress how many of them from one
	// address. Further ones are answered with 429. 0: no limit.
	Requests           int `yaml:"requests"`
	RequestsPerAddress int `yaml:"requests_per_address"`
	// MissesPerAddress is how often clients at one address may ask for what is not there; a minute's worth may come at once.
	// What comes on top is answered with 429, but for what was there before. 0: no limit.
	MissesPerAddress Rate `yaml:"misses_per_address"`
	// HeaderBytes bounds a request's header, and BodyBytes its body, which nothing needs. In bytes.
	HeaderBytes ByteSize `yaml:"header_bytes"`
	BodyBytes   ByteSize `yaml:"body_bytes"`
	// HeaderTimeout is how long a client may take to send a request, IdleTimeout how long a connection may wait for the
	// next.
	HeaderTimeout Duration `yaml:"header_timeout"`
	IdleTimeout   Duration `yaml:"idle_timeout"`
	// StallTimeout is how long a client may take nothing of an answer.
	StallTimeout Duration `yaml:"stall_timeout"`
	// RequestTimeout is how long an answer may take in all. 0: no limit.
	RequestTimeout Duration `yaml:"request_timeout"`
	// HTTP2Streams is how many requests an HTTP/2 connection may have at once.
	HTTP2Streams int `yaml:"http2_streams"`
}
