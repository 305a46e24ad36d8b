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
	s.snippet("Containerfile", "bakes the files into an image; DIR is what --write DIR wrote, in the build's context",
		fmt.Sprintf("FROM %s\nCOPY DIR/etc/ /etc/\n", base))
	if image == "" {
		return
	}
	s.snippet(s.base()+".image", "a Quadlet in /etc/containers/systemd that pulls the image at boot",
		fmt.Sprintf("[Unit]\nDescription=%s through %s\nWants=network-online.target\nAfter=network-online.target\n\n"+
			"[Image]\nImage=%s\n\n[Install]\nWantedBy=multi-user.target\n", image, s.Name, image))
	s.snippet("kickstart.cfg", "installs the image through the proxy, and leaves the files on the host", s.kickstart())
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
		for _, f := range s.config.Files {
			if strings.HasPrefix(f.Path, "/etc/docker/") || strings.HasPrefix(f.Path, "/etc/containerd/") {
				continue
			}
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
