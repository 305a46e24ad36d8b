package doctor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/rechunk/legible"
)

// space compares what is free with the image.
func (e *examination) space(p *pulled) {
	if e.Free == nil {
		return
	}
	m, err := p.image.Manifest()
	if err != nil {
		e.add(CheckImage, Wrong, "", "the manifest cannot be read: %v", err)
		return
	}
	var size int64
	for _, l := range m.Layers {
		size += max(0, l.Size)
	}
	free, err := e.Free()
	if err != nil {
		e.add(CheckSpace, Note, "", "nobody knows how much is free: %v", err)
		return
	}
	text := fmt.Sprintf("%s are free, and the image has %s in %s", humanize.Bytes(uint64(max(0, free))),
		humanize.Bytes(uint64(size)), legible.Count(len(m.Layers), "layer"))
	if free < size {
		e.add(CheckSpace, Wrong, "free some: podman system prune, bootc's rollback image, ostree admin cleanup", "%s", text)
		return
	}
	e.fine(CheckSpace, "%s", text)
}

// Versions of bootc and what they brought.
const (
	plainLayers = "1.1.3" // images without ostree.final-diffid
	manyLayers  = "1.9.0" // more layers than maxLayers
	maxLayers   = 128
	// multiFrame is the last one whose composefs backend fails on zstd of several frames.
	multiFrame = "1.16.9"
)

// bootc compares the host's version with what the image needs.
func (e *examination) bootc(p *pulled) {
	c, err := p.image.ConfigFile()
	if err != nil {
		e.add(CheckImage, Wrong, "look at the proxy's log", "the image's config cannot be read: %s", cause(err))
		return
	}
	m, err := p.image.Manifest()
	if err != nil {
		return // space told
	}
	labels := c.Config.Labels
	if labels["containers.bootc"] == "" && labels["ostree.bootable"] == "" {
		e.add(CheckBootc, Note, "", "the image is not labelled containers.bootc: bootc does not boot it")
		return
	}
	needs, why := "", ""
	if labels["ostree.final-diffid"] == "" {
		needs, why = plainLayers, "plain layers"
	}
	if len(m.Layers) > maxLayers {
		needs, why = manyLayers, fmt.Sprintf("%d layers", len(m.Layers))
	}
	chunked := false
	for _, l := range m.Layers {
		chunked = chunked || l.Annotations["io.github.containers.zstd-chunked.manifest-checksum"] != ""
	}
	switch {
	case e.Bootc == "" && needs == "":
	case e.Bootc == "":
		e.add(CheckBootc, Note, "", "the image needs bootc %s or newer (%s); which one the host has is not known", needs,
			why)
	case needs != "" && older(e.Bootc, needs):
		e.add(CheckBootc, Wrong, "update bootc, or at the proxy max_layers: 120 (for more layers), rechunk: never (for plain ones)",
			"the image needs bootc %s or newer (%s), and the host has %s", needs, why, e.Bootc)
	case chunked && !older(multiFrame, e.Bootc):
		e.add(CheckBootc, Note, "", "layers are zstd:chunked, on which the composefs backend of bootc %s fails; the ostree backend does not",
			e.Bootc)
	default:
		e.fine(CheckBootc, "bootc %s takes the image", e.Bootc)
	}
}

var versionGrammar = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)*`)

// older compares versions by their numbers.
func older(a, b string) bool {
	x := strings.Split(versionGrammar.FindString(a), ".")
	y := strings.Split(versionGrammar.FindString(b), ".")
	for i := range max(len(x), len(y)) {
		m, n := number(x, i), number(y, i)
		if m != n {
			return m < n
		}
	}
	return false
}

func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}
