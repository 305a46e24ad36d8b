package transport

import (
	"errors"
	"net/http"
	"net/url"
)

// noProxy is the Config.Proxy of a registry that is reached without one.
const noProxy = "none"

// egress returns which proxy a request takes: the configured one, or what the environment says. Errors don't repeat a
// proxy's URL, which may hold a password.
func egress(configured string, environment proxyFunc) (proxyFunc, error) {
	switch configured {
	case "":
		return func(req *http.Request) (*url.URL, error) {
			u, err := environment(req)
			if err != nil {
				return nil, errors.New("HTTPS_PROXY or HTTP_PROXY of the environment is no URL of a proxy")
			}
			return u, nil
		}, nil
	case noProxy:
		return func(*http.Request) (*url.URL, error) { return nil, nil }, nil
	}
	u, err := url.Parse(configured)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("the proxy is no URL of an HTTP proxy: write http://proxy.example:3128")
	}
	return http.ProxyURL(u), nil
}
