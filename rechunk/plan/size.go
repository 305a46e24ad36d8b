package plan

import (
	"path"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// headerBytes is what one tar member costs after compression besides its content: header, PAX records and padding, most of
// which repeat from member to member.
const headerBytes = 96

// class says what a file is, which decides how well it compresses and how likely a new version of its component changes it.
type class uint8

const (
	classData class = iota
	classProgram
	classDoc
)

// Compressed size in 1/1024 of the content, for zstd at a high level. Measured orders of magnitude: stripped ELF objects
// come to 0.35-0.4 (code 0.45, tables and padding less); source, configuration and markup to 0.2-0.3; a mix of catalogues,
// fonts and binary tables to about 0.35. What is compressed already stays as it is.
const (
	ratioStored  = 1024
	ratioProgram = 390
	ratioText    = 256
	ratioData    = 358
)

// estimate returns the compressed bytes that an entry's content is expected to take, hardlinks not considered.
func estimate(e *tree.Entry) int64 {
	if e.Kind != tree.Regular || e.Size <= 0 {
		return 0
	}
	ratio := int64(ratioData)
	switch {
	case isStored(e.Path):
		ratio = ratioStored
	case classOf(e) == classProgram:
		ratio = ratioProgram
	case isText(e.Path):
		ratio = ratioText
	}
	return e.Size/1024*ratio + e.Size%1024*ratio/1024
}

// weigh returns an entry's share of a layer in estimated compressed bytes: its header and, when it stands for its hardlink
// group, the content. Directories weigh nothing, since every layer repeats the ones it needs.
func weigh(e *tree.Entry, withContent bool) int64 {
	switch {
	case e.Kind == tree.Dir:
		return 0
	case withContent:
		return headerBytes + estimate(e)
	}
	return headerBytes
}

// classOf tells programs and libraries, documentation and other data apart by place, name and mode alone.
func classOf(e *tree.Entry) class {
	p := e.Path
	switch {
	case isDoc(p):
		return classDoc
	case e.Kind != tree.Regular:
		return classData
	case e.Mode&0o111 != 0 || isLibrary(path.Base(p)):
		return classProgram
	}
	return classData
}

func isDoc(p string) bool {
	rest, ok := strings.CutPrefix(p, "usr/share/")
	if !ok {
		return false
	}
	for _, dir := range [...]string{"doc/", "man/", "info/", "licenses/", "gtk-doc/", "help/"} {
		if strings.HasPrefix(rest, dir) {
			return true
		}
	}
	return false
}

func isLibrary(base string) bool {
	if strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.") {
		return true
	}
	switch path.Ext(base) {
	case ".ko", ".a", ".o", ".pyc", ".efi", ".typelib", ".node", ".cmxs":
		return true
	}
	return strings.Contains(base, ".ko.") || strings.HasPrefix(base, "vmlinuz")
}

func isStored(p string) bool {
	base := path.Base(p)
	switch path.Ext(base) {
	case ".xz", ".gz", ".zst", ".bz2", ".lz4", ".lzma", ".br", ".tgz", ".txz", ".zip", ".jar", ".whl", ".apk", ".rpm",
		".deb",
		".png", ".jpg", ".jpeg", ".jxl", ".webp", ".avif", ".gif", ".woff", ".woff2", ".mp3", ".mp4", ".m4a", ".ogg", ".oga",
		".opus", ".flac", ".webm", ".mkv", ".squashfs", ".erofs", ".gresource", ".efi":
		return true
	}
	return strings.HasPrefix(base, "vmlinuz") || strings.HasPrefix(base, "initramfs") || strings.HasPrefix(base, "initrd")
}

func isText(p string) bool {
	switch path.Ext(p) {
	case ".py", ".pl", ".pm", ".rb", ".js", ".mjs", ".ts", ".lua", ".sh", ".c", ".h", ".hpp", ".txt", ".md", ".rst", ".html",
		".css", ".xml", ".json", ".yaml", ".yml", ".toml", ".conf", ".cfg", ".ini", ".rules", ".service", ".socket", ".svg",
		".desktop", ".csv", ".tsv", ".po", ".hwdb", ".sqlite", ".cil", ".pem", ".te", ".if", ".list", ".map":
		return true
	}
	return false
}
