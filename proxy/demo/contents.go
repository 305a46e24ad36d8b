package demo

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// dataChanges is how often data and documentation change when their package is updated; programs and libraries always do.
const dataChanges = 0.3

// installed is a package at one version.
type installed struct {
	pack
	// history are the versions of the package so far, the current one last.
	history []string
	scale   float64
	files   []string
	fs      *filesystem
}

func (p *installed) current() string { return p.history[len(p.history)-1] }

// install adds a package's files to a filesystem.
func (p *installed) install() {
	p.binaries()
	switch p.special {
	case kernel:
		p.kernel()
	case firmware:
		p.each(p.data, p.dataKiB, func(i int, size int64) {
			p.put(fmt.Sprintf("usr/lib/firmware/%s/fw-%02d.bin.xz", vendors[i%len(vendors)], i), 0o644, packed, size)
		})
	case zones:
		p.zones()
	case scripts:
		p.each(p.data, p.dataKiB, func(i int, size int64) {
			p.put(fmt.Sprintf("usr/lib/%s/%s/%s.py", p.source, words[i%len(words)], p.word(i)), 0o644, text, size)
		})
	case units:
		p.each(p.data, p.dataKiB, func(i int, size int64) {
			p.put(fmt.Sprintf("usr/lib/systemd/system/%s-%s.service", p.source, p.word(i)), 0o644, text, size)
		})
	default:
		p.each(p.data, p.dataKiB, func(i int, size int64) {
			p.put(fmt.Sprintf("usr/share/%s/%s/%s", p.source, words[i%7], p.word(i)), 0o644, text, size)
		})
	}
	p.extras()
	p.documentation()
}

// binaries adds programs and libraries; libraries have two names, one a symlink.
func (p *installed) binaries() {
	p.each(p.programs+p.libraries, p.binaryKiB, func(i int, size int64) {
		if i >= p.programs {
			lib := fmt.Sprintf("usr/lib/%s/lib%s-%s.so.%d", triplet, p.source, p.word(i-p.programs), 1+i%6)
			p.put(lib+".0", 0o644, program, size)
			p.own(lib)
			p.fs.symlink(lib, path.Base(lib)+".0")
			return
		}
		name := "usr/bin/" + p.source
		if i > 0 {
			name += "-" + p.word(i)
		}
		p.put(name, 0o755, program, size)
	})
}

// kernel adds an image, an initramfs and modules below a directory that is named after the version.
func (p *installed) kernel() {
	version, _, _ := strings.Cut(p.current(), "-")
	dir := "usr/lib/modules/" + version + "+demo/"
	p.put(dir+"vmlinuz", 0o644, packed, p.scaled(9<<20))
	p.put(dir+"config", 0o644, text, 180<<10)
	p.each(p.data, p.dataKiB, func(i int, size int64) {
		p.put(fmt.Sprintf("%skernel/drivers/%s/%s.ko.xz", dir, words[i%13], p.word(i)), 0o644, packed, size)
	})
	// Nobody owns an initramfs: it is made where the image is built, of the kernel and of what boots it.
	p.fs.file(dir+"initramfs.img", 0o600, packed, p.current(), p.scaled(14<<20))
}

// zones adds time zones, some of which have several names.
func (p *installed) zones() {
	p.each(p.data, p.dataKiB, func(i int, size int64) {
		name := fmt.Sprintf("usr/share/zoneinfo/%s/%s", words[i%9], p.word(i))
		p.put(name, 0o644, text, size)
		if i%6 == 0 {
			alias := fmt.Sprintf("usr/share/zoneinfo/alias-%03d", i)
			p.own(alias)
			p.fs.hardlink(alias, name)
		}
	})
}

// extras adds a second name or a capability to a package's program.
func (p *installed) extras() {
	name := "usr/bin/" + p.source
	switch p.special {
	case aliased:
		p.own(name + "5")
		p.fs.hardlink(name+"5", name)
	case capable:
		p.fs.xattr(name, "security.capability",
			"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	}
}

func (p *installed) documentation() {
	dir := "usr/share/doc/" + p.name + "/"
	p.put(dir+"copyright", 0o644, text, 3<<10)
	p.put(dir+"changelog.gz", 0o644, packed, 5<<10)
	if p.programs > 0 {
		p.put("usr/share/man/man8/"+p.source+".8.gz", 0o644, packed, 6<<10)
	}
}

// put adds a file that belongs to the package. Its bytes change with the package, or only now and then.
func (p *installed) put(name string, mode int64, t texture, size int64) {
	p.own(name)
	stamp := p.history[0]
	for _, v := range p.history[1:] {
		always := t == program || p.special == kernel || strings.HasSuffix(name, "/changelog.gz")
		if always || coin(name+v) < dataChanges {
			stamp = v
		}
	}
	p.fs.file(name, mode, t, stamp, size)
}

func (p *installed) own(name string) { p.files = append(p.files, name) }

// each shares kib out among n files, the first ones large and the rest small, as packages have it.
func (p *installed) each(n int, kib int64, add func(i int, size int64)) {
	var sum float64
	for i := range n {
		sum += share(i)
	}
	for i := range n {
		add(i, max(200, p.scaled(float64(kib<<10)*share(i)/sum)+int64(i*37%211)))
	}
}

func (p *installed) scaled(bytes float64) int64 { return int64(bytes * p.scale) }

func share(i int) float64 { return 1 / (float64(i) + 2.5) }

// word is a name for the i-th of many files.
func (p *installed) word(i int) string {
	w := words[(i*7+len(p.source)*3)%len(words)]
	if i < len(words) {
		return w
	}
	return fmt.Sprintf("%s%d", w, i/len(words))
}

// list is what dpkg's info directory says of the package.
func (p *installed) list() string {
	seen := map[string]bool{}
	for _, f := range p.files {
		for d := f; d != "."; d = path.Dir(d) {
			seen["/"+d] = true
		}
	}
	lines := make([]string, 0, len(seen)+1)
	for f := range seen {
		lines = append(lines, f)
	}
	slices.Sort(lines)
	return "/.\n" + strings.Join(lines, "\n") + "\n"
}
