package hosts

import (
	"fmt"
	"path"
	"strings"
)

// snippets are ways to bring the files to where they are needed.
func (s *setup) snippets() {
	image, base := s.image, "ghcr.io/OWNER/IMAGE:TAG"
	if image != "" {
		base = image
	}
	s.snippet("Containerfile", "bakes the files into an image; DIR, in the build's context, is made by "+s.command("DIR"),
		fmt.Sprintf("FROM %s\nCOPY DIR/etc/ /etc/\n", base))
	if image == "" {
		return
	}
	s.snippet(s.base()+".image", "a Quadlet in /etc/containers/systemd that pulls the image at boot",
		fmt.Sprintf("[Unit]\nDescription=%s through %s\nWants=network-online.target\nAfter=network-online.target\n\n"+
			"[Image]\nImage=%s\n\n[Install]\nWantedBy=multi-user.target\n", image, s.Name, image))
	s.snippet("kickstart.cfg", "installs the image through the proxy, and leaves the files on the host", s.kickstart())
}

// command is the call of strata client-config that writes the same files below a directory.
func (s *setup) command(dir string) string {
	words := []string{"strata", "client-config"}
	if s.Options != nil {
		words = append(words, s.Options...)
	} else {
		for n := range s.keys {
			words = append(words, "--key", s.keyPath(n))
		}
		switch {
		case s.Proxy.Insecure:
			words = append(words, "--insecure")
		case s.Proxy.CA != "":
			words = append(words, "--registry-ca", s.authorityPath(s.Name))
		}
	}
	for _, flag := range []struct {
		given bool
		word  string
	}{{s.NoFallback, "--no-fallback"}, {s.DNS, "--dns"}, {s.Admit, "--admit"}} {
		if flag.given {
			words = append(words, flag.word)
		}
	}
	for _, key := range s.UpstreamKeys {
		words = append(words, "--upstream-key", key)
	}
	words = append(append(words, "--write", dir, s.Name), s.Images...)
	for i, word := range words {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

func (s *setup) snippet(name, about, content string) {
	s.config.Snippets = append(s.config.Snippets, File{name, content, about})
}

// kickstart writes the files twice: in the installer, which pulls the image, and on what it installed. Docker's and
// containerd's have no place there.
func (s *setup) kickstart() string {
	var b strings.Builder
	for _, section := range []string{"%pre --erroronfail", "%post --erroronfail"} {
		fmt.Fprintf(&b, "%s\n", section)
		places := map[string]string{}
		for _, f := range s.config.Files {
			if strings.HasPrefix(f.Path, "/etc/docker/") || strings.HasPrefix(f.Path, "/etc/containerd/") {
				continue
			}
			if first := places[f.Content]; first != "" {
				fmt.Fprintf(&b, "mkdir -p %s\ncp %s %s\n", quote(path.Dir(f.Path)), quote(first), quote(f.Path))
				continue
			}
			places[f.Content] = f.Path
			end := ending(f.Content)
			fmt.Fprintf(&b, "mkdir -p %s\ncat > %s <<'%s'\n%s%[3]s\n", quote(path.Dir(f.Path)), quote(f.Path), end,
				f.Content)
		}
		b.WriteString("%end\n\n")
	}
	fmt.Fprintf(&b, "ostreecontainer --transport registry --url %s\n", quote(s.image))
	return b.String()
}

// ending is a line that a file does not have, behind which it ends in a script.
func ending(content string) string {
	end := "STRATA"
	for strings.Contains(content, end) {
		end += "_"
	}
	return end
}

// quote makes a word of the shell.
func quote(word string) string {
	if !strings.ContainsAny(word, " '\"\\$`&;<>|*?[](){}!#~\t") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
