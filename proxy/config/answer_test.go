package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAnswerAs(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("c.yml", []byte(`answer_as: [ghcr.io, docker.io, "registry.example:5000"]
tls: {cert_file: a, key_file: b, certificates: [{cert_file: c, key_file: d}]}
upstreams: {quay.io: {}}`), nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if !c.AnswersAs("ghcr.io") || c.AnswersAs("quay.io") || c.AnswersAs("registry.example") {
		t.Errorf("%v", c.AnswerAs)
	}
	if !slices.Contains(c.Hosts(), "docker.io") {
		t.Errorf("what it answers as may not be pulled through: %v", c.Hosts())
	}
	if more := c.TLS.Certificates; len(more) != 1 || !filepath.IsAbs(more[0].CertFile) || !filepath.IsAbs(more[0].KeyFile) {
		t.Errorf("%+v", more)
	}
	c, warnings, err = parse("c.yml", nil, []string{"STRATA_ANSWER_AS=ghcr.io,quay.io"})
	if err != nil || len(c.AnswerAs) != 2 || len(warnings) != 1 || !strings.Contains(warnings[0], "set tls") {
		t.Errorf("from the environment: %v, %v, %v", c, warnings, err)
	}
}

func TestAnswerAsProblems(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"answer_as: [ghcr]":                                       "no registry host",
		"answer_as: [https://ghcr.io]":                            "no registry host",
		"answer_as: [index.docker.io]":                            "no registry host",
		"answer_as: ['*.example']":                                "no registry host",
		"answer_as: [ghcr.io, ghcr.io]":                           "there twice",
		"answer_as: ghcr.io":                                      "list",
		"tls: {certificates: [{}]}":                               "names no files",
		"tls: {certificates: [{cert_file: a}]}":                   "set both or none",
		"admin: {tls: {certificates: [{key_file: a}]}}":           "set both or none",
		"tls: {certificates: [{cert_file: a, key_file: b}]}":      "come beside",
		"answer_as: [" + strings.Repeat("a.example, ", 101) + "]": "more than the limit",
	} {
		_, _, err := parse("c.yml", []byte(file), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", file, err, want)
		}
	}
}
