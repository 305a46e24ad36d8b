package config

import (
	"bytes"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// The files for deployments hold configurations that load.
func TestDeployments(t *testing.T) {
	t.Parallel()
	scale, err := os.ReadFile("../../docs/deploy/strata-scale.yml")
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := os.ReadFile("../../docs/deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Data map[string]string `yaml:"data"`
	}
	first, _, _ := bytes.Cut(kubernetes, []byte("\n---\n"))
	if err := yaml.Unmarshal(first, &m); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"strata-scale.yml": string(scale), "kubernetes.yaml": m.Data["config.yml"]} {
		c, _, err := parse(name, []byte(text), []string{"STRATA_STORAGE_S3_ACCESSKEY=a", "STRATA_STORAGE_S3_SECRETKEY=b"})
		if err != nil || !c.Redis.Enabled() || c.Storage.Driver != "s3" || c.Storage.Parameters["secretkey"] != "b" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// That of a host's edge is an edge's, which keeps no layers.
func TestEdgeDeployment(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/deploy/strata-edge.yml")
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := parse("strata-edge.yml", text, nil)
	if err != nil || len(warnings) > 0 || !c.Edge() || c.KeepsLayers() || c.Seeds[0].Root != "/" {
		t.Errorf("%+v, %v, %v", c, warnings, err)
	}
}

// The compose file parses, and what it sets in the environment are keys that exist.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Profiles    []string          `yaml:"profiles"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"strata-one", "strata-two", "strata-lb", "s3", "redis"} {
		s, ok := compose.Services[name]
		if !ok || len(s.Profiles) != 1 || s.Profiles[0] != "scale" {
			t.Errorf("service %s: %+v", name, s)
		}
		var environ []string
		for key, value := range s.Environment {
			environ = append(environ, key+"="+value)
		}
		if _, _, err := parse(name, []byte("storage: {s3: {bucket: b}}"), environ); err != nil {
			t.Errorf("environment of %s: %v", name, err)
		}
	}
}
