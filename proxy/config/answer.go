package config

import (
	"slices"
	"strconv"
)

const (
	// mostAnswered and mostCertificates bound what is looked through for each connection.
	mostAnswered     = 100
	mostCertificates = 100
)

// AnswersAs reports whether requests that arrive for a registry's host mean that registry.
func (c *Config) AnswersAs(host string) bool { return slices.Contains(c.AnswerAs, host) }

// answerAs checks the registries that DNS leads here.
func (v *validator) answerAs(c *Config) {
	if len(c.AnswerAs) > mostAnswered {
		v.problem("answer_as", "has %d hosts, more than the limit of %d", len(c.AnswerAs), mostAnswered)
		return
	}
	for i, host := range c.AnswerAs {
		key := "answer_as[" + strconv.Itoa(i) + "]"
		switch {
		case !isHost(host):
			v.problem(key, "%s is no registry host: write it as it stands in image names, such as ghcr.io or docker.io",
				quote(host))
		case slices.Contains(c.AnswerAs[:i], host):
			v.problem(key, "%s is there twice: remove one", quote(host))
		}
	}
	if len(c.AnswerAs) > 0 && !c.TLS.Enabled() {
		v.warning("answer_as", "clients ask registries over HTTPS: set tls, or put a proxy with TLS in front that passes on the "+
			"Host header")
	}
}
