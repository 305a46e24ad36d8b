package catalog

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// Prefix is what the keys of a listing begin with; the zero value lists all.
type Prefix[K any] struct{ text string }

// PrefixOf lists the keys that begin with a text, of kinds whose keys are texts.
func PrefixOf(text string) Prefix[string] { return Prefix[string]{text} }

// TagKey names a tag of a repository, "host/path". It is written "host/path:tag".
type TagKey struct{ Repository, Tag string }

// String returns the key as it is stored.
func (k TagKey) String() string { return k.Repository + ":" + k.Tag }

// ParseTagKey undoes TagKey.String. A tag holds no colon, but a host may.
func ParseTagKey(s string) (k TagKey, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return TagKey{}, false
	}
	return TagKey{s[:i], s[i+1:]}, true
}

// TagsOf lists the tags of a repository.
func TagsOf(repository string) Prefix[TagKey] { return Prefix[TagKey]{repository + ":"} }

// ContentKey names content in a repository, "host/path". It is written "host/path@digest".
type ContentKey struct {
	Repository string
	Digest     digest.Digest
}

// String returns the key as it is stored.
func (k ContentKey) String() string { return k.Repository + "@" + k.Digest.String() }

func parseContentKey(s string) (ContentKey, bool) {
	repository, d, _ := strings.Cut(s, "@")
	return ContentKey{repository, digest.Digest(d)}, digest.Digest(d).Validate() == nil
}

// ContentOf lists what is recorded of the content of a repository.
func ContentOf(repository string) Prefix[ContentKey] { return Prefix[ContentKey]{repository + "@"} }

// LineageKey names a lineage on a platform, "linux/amd64". It is written with a space between the two.
type LineageKey struct{ Lineage, Platform string }

// String returns the key as it is stored.
func (k LineageKey) String() string { return k.Lineage + " " + k.Platform }

func parseLineageKey(s string) (k LineageKey, ok bool) {
	k.Lineage, k.Platform, ok = rechunk.SplitLineageKey(s)
	return k, ok
}

// LineagesOf lists a lineage on all its platforms.
func LineagesOf(lineage string) Prefix[LineageKey] { return Prefix[LineageKey]{lineage + " "} }

func digestKey(s string) (digest.Digest, bool) {
	return digest.Digest(s), digest.Digest(s).Validate() == nil
}

func anyKey(s string) (string, bool) { return s, true }
func asItIs(s string) string         { return s }
