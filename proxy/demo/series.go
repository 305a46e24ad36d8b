package demo

import (
	"fmt"
	"strings"
	"time"
)

// triplet is where libraries lie. It is the same on all machines, so that the series is, too.
const triplet = "x86_64-linux-gnu"

var (
	vendors = [...]string{"amdgpu", "ath11k", "i915", "intel", "iwlwifi", "mediatek", "nvidia", "qcom", "rtl_nic"}
	// words has a prime number of entries, so that any step through it meets all of them.
	words = [...]string{
		"access", "agent", "base", "block", "bridge", "cache", "client", "codec", "config", "control", "core", "crypto",
		"data",
		"device", "display", "export", "filter", "format", "frame", "group", "handler", "image", "index", "input", "journal",
		"kernel",
		"layout", "legacy", "link", "loader", "local", "main", "manager", "memory", "monitor", "mount", "network", "object",
		"parser",
		"policy", "power", "profile", "query", "queue", "record", "region", "remote",
	}
)

// DefaultScale makes a series of 80 MB a version.
const DefaultScale = 0.42

// filesystemOf makes the filesystem of the release at position n of a series; scale shrinks packages.
func filesystemOf(series []release, n int, scale float64) (*filesystem, error) {
	fs := newFilesystem()
	var status strings.Builder
	for _, p := range packages() {
		i := &installed{pack: p, fs: fs, scale: scale, history: []string{p.version}}
		for _, r := range series[:n+1] {
			if v, ok := r.updates[p.source]; ok {
				i.history = append(i.history, v)
			}
		}
		i.install()
		fs.document("var/lib/dpkg/info/"+p.name+".list", i.list())
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nSource: %s\nArchitecture: amd64\nVersion: %s\n\n",
			p.name, p.source, i.current())
	}
	fs.document("var/lib/dpkg/status", status.String())
	local(fs)
	volatile(fs, series[n])
	return fs, fs.err
}

// local adds what no package owns: configuration, and programs of the image's own that say themselves what they belong to.
func local(fs *filesystem) {
	fs.document("etc/hostname", "demo\n")
	fs.document("etc/fstab", "# nothing: bootc mounts the root\n")
	fs.document("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	fs.document("etc/machine-id", "")
	for _, name := range []string{"collect", "report", "rotate"} {
		p := "usr/libexec/site-agent/" + name
		fs.file(p, 0o755, program, "1", 90<<10)
		fs.xattr(p, "user.component", "site-agent")
	}
}

// volatile adds what every build writes anew.
func volatile(fs *filesystem, r release) {
	built := time.Unix(r.built, 0).UTC()
	fs.document("usr/lib/os-release",
		fmt.Sprintf("ID=demo\nNAME=\"Strata demo\"\nVERSION_ID=%s\nBUILD_ID=%s\n", r.tag, built.Format("20060102.1504")))
	fs.document("var/log/apt/history.log", fmt.Sprintf("Start-Date: %s\nEnd-Date: %s\n", built, built.Add(time.Minute)))
	fs.file("var/log/dpkg.log", 0o644, text, r.tag, 90<<10)
	fs.file("var/cache/ldconfig/aux-cache", 0o600, program, r.tag, 24<<10)
	fs.file("var/cache/fontconfig/index.cache", 0o644, program, r.tag, 40<<10)
}
