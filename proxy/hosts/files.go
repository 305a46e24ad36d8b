package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// names makes registries.conf.d, which lets names lead to the proxy. Podman, skopeo, buildah, CRI-O and bootc read it.
func (s *setup) names() {
	var b strings.Builder
	scopes := s.scopes
	if s.DNS {
		scopes = nil
		s.dns()
	}
	for _, scope := range scopes {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		target := s.under(scope.name)
		fmt.Fprintf(&b, "[[registry]]\nprefix = %q\n", scope.name)
		if scope.noFallback {
			fmt.Fprintf(&b, "location = %q\n%s", target, s.insecure())
		} else {
			fmt.Fprintf(&b, "location = %q\n%s\n[[registry.mirror]]\nlocation = %q\n%s", scope.name, insecure(scope.plain),
				target, s.insecure())
			if scope.plain {
				host, _, _ := strings.Cut(scope.name, "/")
				s.note("%s itself speaks plain HTTP, too, and is asked while the proxy is down", host)
			}
		}
		s.port(scope)
	}
	if s.Proxy.Insecure {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\ninsecure = true\n", s.Name)
		s.note("the proxy speaks plain HTTP: who sits between it and a host can replace images that are not signed")
	}
	if b.Len() > 0 {
		s.add(s.confFile(), "names lead to the proxy", b.String())
	}
	if slices.ContainsFunc(s.scopes, func(scope scope) bool { return scope.noFallback }) {
		s.note("while the proxy is down, pulls fail and hosts stay on what they run")
	}
}

// dns tells what leads the registries' clients to the proxy, and what it lacks for them.
func (s *setup) dns() {
	var missing []string
	for _, host := range s.registries() {
		if !slices.Contains(s.Proxy.AnswersAs, host) {
			missing = append(missing, host)
		}
	}
	led := strings.Join(s.registries(), ", ")
	if i := slices.IndexFunc(s.scopes, func(scope scope) bool { return scope.plain }); i >= 0 {
		s.note("hosts ask the proxy by HTTPS as %s, too, which itself speaks plain HTTP", s.scopes[i].name)
	}
	switch {
	case s.Proxy.AnswersAs == nil:
		s.note("DNS has to lead %s to the proxy, and the proxy has to answer as that (answer_as)", led)
	case len(missing) > 0:
		s.note("DNS has to lead %s to the proxy, which does not answer as %s: add that to its answer_as, with a certificate",
			led, strings.Join(missing, ", "))
	default:
		s.note("DNS has to lead %s to the proxy, which answers as that", led)
	}
}

// port tells of a registry whose name has a port.
func (s *setup) port(scope scope) {
	if !scope.ported() {
		return
	}
	host, _, _ := strings.Cut(scope.name, "/")
	s.note("the proxy has to know %s by its name without a port, as upstreams.%s, and signs for that name: where the policy asks "+
		"for a signature, the entry for a repository of %[1]s needs \"signedIdentity\": {\"type\": \"exactRepository\", "+
		"\"dockerRepository\": \"%[2]s/REPOSITORY\"}", host, portless(host))
}

func (s *setup) insecure() string { return insecure(s.Proxy.Insecure) }

// insecure allows plain HTTP in registries.conf.
func insecure(plain bool) string {
	if plain {
		return "insecure = true\n"
	}
	return ""
}

// attachments makes registries.d, which has clients look for signatures at the registry. What counts is the host that is
// asked: the proxy, and the registry where that is the fallback.
func (s *setup) attachments() error {
	namespaces, err := s.namespaces()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, namespace := range namespaces {
		listed, enabled := false, false
		if s.Existing.Attachments != nil {
			listed, enabled = s.Existing.Attachments(namespace)
		}
		switch {
		case listed && !enabled:
			s.note("registries.d has an entry for %s in another file: add use-sigstore-attachments: true there, since clients "+
				"refuse a second one", namespace)
		case !enabled:
			fmt.Fprintf(&b, "  %s:\n    use-sigstore-attachments: true\n", yamlName(namespace))
		}
	}
	if b.Len() > 0 {
		s.add("/etc/containers/registries.d/"+AttachmentsFile(s.Name), "signatures are looked for at the registry",
			"docker:\n"+b.String())
	}
	return nil
}

// yamlName quotes a namespace, in which a port looks like a mapping and an address in brackets like a list.
func yamlName(s string) string {
	if strings.ContainsAny(s, ":[*@") {
		return `"` + s + `"`
	}
	return s
}

// authority has all clients trust the proxy's certificate.
func (s *setup) authority() {
	if s.Proxy.CA == "" || s.Proxy.Insecure {
		return
	}
	names := []string{s.Name}
	if s.DNS {
		names = append(names, s.registries()...)
	}
	for _, name := range names {
		s.add(s.authorityPath(name),
			"the authority of the proxy's certificate, for podman, skopeo, bootc", s.Proxy.CA)
		s.add("/etc/docker/certs.d/"+name+"/ca.crt", "the same for docker", s.Proxy.CA)
	}
}

// authorityPath is where podman, skopeo and bootc look for the authority of a registry's certificate.
func (*setup) authorityPath(name string) string { return "/etc/containers/certs.d/" + name + "/ca.crt" }

// registries returns the hosts of the scopes, each once.
func (s *setup) registries() []string {
	var hosts []string
	for _, scope := range s.scopes {
		host, _, _ := strings.Cut(scope.name, "/")
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// containerd makes hosts.toml, one directory for each registry.
func (s *setup) containerd() {
	scheme, ca := "https", ""
	if s.Proxy.Insecure {
		scheme = "http"
	} else if s.Proxy.CA != "" {
		ca = fmt.Sprintf("  ca = %q\n", "/etc/containerd/certs.d/"+s.Name+"/ca.crt")
		s.add("/etc/containerd/certs.d/"+s.Name+"/ca.crt", "the same for containerd", s.Proxy.CA)
	}
	endpoint := fmt.Sprintf("%s://%s", scheme, s.Name)
	s.add("/etc/containerd/certs.d/"+s.Name+"/hosts.toml", "containerd, by the proxy's own name",
		hostsTOML(endpoint, endpoint, ca))
	seen := map[string]bool{}
	for _, scope := range s.scopes {
		host, _, narrower := strings.Cut(scope.name, "/")
		if seen[host] {
			continue
		}
		seen[host] = true
		origin := "https://" + originOf(host)
		if scope.plain && !s.DNS {
			origin = "http://" + host
		}
		server, asked := endpoint, endpoint
		if !scope.noFallback || s.DNS {
			server = origin
		}
		if s.DNS {
			asked = origin
		}
		s.add("/etc/containerd/certs.d/"+host+"/hosts.toml", "containerd: all of "+host+" leads to the proxy",
			hostsTOML(server, asked, ca))
		if narrower {
			s.note("containerd and docker know hosts only: with them all of %s leads to the proxy", host)
		}
	}
}

// hostsTOML has containerd ask one host for the images of a registry, then its server.
func hostsTOML(server, asked, ca string) string {
	return fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n%s", server, asked, ca)
}

// originOf is the host that answers for a registry's name.
func originOf(host string) string {
	if host == "docker.io" {
		return "registry-1.docker.io"
	}
	return host
}

// docker makes daemon.json where docker needs one: it knows mirrors of docker.io alone.
func (s *setup) docker() error {
	hub := false
	for _, scope := range s.scopes {
		host, _, _ := strings.Cut(scope.name, "/")
		hub = hub || host == "docker.io" && !s.DNS
	}
	if !hub && !s.Proxy.Insecure {
		return nil
	}
	have := map[string]any{}
	if s.Existing.Docker != nil {
		if err := json.Unmarshal(s.Existing.Docker, &have); err != nil {
			return fmt.Errorf("the host's daemon.json: %w", err)
		}
		if have == nil {
			return errors.New("the host's daemon.json holds null where an object is expected")
		}
	}
	scheme := "https://"
	if s.Proxy.Insecure {
		have["insecure-registries"] = with(have["insecure-registries"], s.Name)
		scheme = "http://"
	}
	if hub {
		have["registry-mirrors"] = with(have["registry-mirrors"], scheme+s.Name)
		s.note("docker asks its mirror for names without a host: the proxy needs default_upstream: docker.io")
	}
	about := "docker"
	if s.Existing.Docker == nil && !s.Existing.Known {
		about += "; where there is one, merge the two"
	}
	s.add("/etc/docker/daemon.json", about, document(have))
	return nil
}

// with adds an element to a list of JSON, once.
func with(list any, element string) []any {
	have, _ := list.([]any)
	for _, v := range have {
		if v == element {
			return have
		}
	}
	return append(have, element)
}

// NamesFile is the name, in registries.conf.d, of the file that is made for a proxy, and AttachmentsFile that in
// registries.d.
func NamesFile(proxy string) string { return "50-" + base(proxy) + ".conf" }

// AttachmentsFile is described at NamesFile.
func AttachmentsFile(proxy string) string { return "50-" + base(proxy) + ".yaml" }
