package config

import (
	"crypto/tls"
	"net/http"
	"net/url"
)

// Tracing says where traces of requests are sent to, for whoever looks where time goes. Without Endpoint there are none.
type Tracing struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP; without a path, /v1/traces is added.
	Endpoint string `yaml:"endpoint"`
	// CAFile is a PEM file of certificate authorities to trust beside the system's.
	CAFile string `yaml:"ca_file"`
	// Share is how many of all requests are traced.
	Share Percent `yaml:"share"`
}

// Enabled reports whether there are traces.
func (t Tracing) Enabled() bool { return t.Endpoint != "" }

// Client returns what requests to the collector are made with, having read the files.
func (t Tracing) Client() (*http.Client, error) {
	if t.CAFile == "" {
		return http.DefaultClient, nil
	}
	pool, err := authorities("tracing.ca_file", t.CAFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}

func (v *validator) tracing(t Tracing) {
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
			u.RawQuery != "" ||
			u.Fragment != "" {
			v.problem("tracing.endpoint",
				"is no URL of a collector: write http://collector.example:4318, without login or query")
		}
	}
	if t.Share < 0 || t.Share > 1 {
		v.problem("tracing.share", "%s is out of range: write 0%% to 100%%", t.Share)
	}
	if !t.Enabled() && t.CAFile != "" {
		v.problem("tracing.ca_file", "is set without tracing.endpoint: set both or none")
	}
}
