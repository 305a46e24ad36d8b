package upkeep

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// Kinds of record that this package reads beside the engine's; docs/formats.md has their fields.
const (
	kindTag      = "tag"
	kindManifest = "manifest"
	kindPulls    = "pulls"
	kindMember   = "member"
)

// recordKind is what a gc knows of a kind of record. This list is the one place to tell it of another kind: records of kinds that are
// not in it stay as they are, and what they name is not marked.
type recordKind struct {
	name string
	// read takes in what a record leads to. An error means that it is damaged. nil: the record leads to nothing.
	read func(r *records, key string, b []byte, modified time.Time) error
	// stays reports whether a record is needed; nil means always.
	stays func(n *needs, key string) bool
	// last, when not nil, picks records that are removed after the others of their kind, because what becomes of those depends on them.
	last func(r *records, key string) bool
	// vital: content may be reachable through such a record only, so that a damaged one stops the removal of content.
	vital bool
}

func recordKinds() []recordKind {
	return []recordKind{
		{name: kindTag, read: readTag, vital: true},
		{name: rechunk.KindLineage, read: readLineage, vital: true}, // trimmed, not removed
		{
			name: kindManifest, read: readManifest, stays: func(n *needs, key string) bool { return n.manifest(digest.Digest(key)) },
			// They tell sources from what was pulled as it is.
			last: func(r *records, key string) bool { return r.manifests[digest.Digest(key)].Served == rechunked },
		},
		{name: rechunk.KindServed, read: readServed, stays: func(n *needs, key string) bool { return n.manifest(n.records.served[key]) }},
		{name: kindPulls, stays: func(n *needs, key string) bool { return n.manifest(digest.Digest(key)) }},
		{name: kindMember, stays: func(n *needs, key string) bool { return n.named(memberOf(key)) }},
		{name: rechunk.KindPlan, stays: func(n *needs, key string) bool { return n.manifest(digest.Digest(key)) }},
		{name: rechunk.KindIndex, read: readIndex, stays: func(n *needs, key string) bool { return n.indexed(digest.Digest(key)) }},
	}
}

// memberOf returns the digest in the key of a member, "host/path@digest".
func memberOf(key string) digest.Digest {
	_, d, _ := strings.Cut(key, "@")
	return digest.Digest(d)
}

// tag is what a tag's record leads to.
type tag struct {
	Source digest.Digest `json:"source_digest"`
	Digest digest.Digest `json:"digest"`
	Served string        `json:"served"`
}

// manifest is what a manifest's record says.
type manifest struct {
	Source   digest.Digest `json:"source_digest"`
	Served   string        `json:"served"`
	modified time.Time
}

// rechunked is how records mark images that were made here.
const rechunked = "rechunked"

// records are those of a store, as far as they lead to content.
type records struct {
	tags      map[string]tag
	manifests map[digest.Digest]manifest
	lineages  map[string][]rechunk.Version
	served    map[string]digest.Digest        // record key → image
	indexes   map[digest.Digest]digest.Digest // layer → its index
	// all are the keys of every kind with the time of their last change.
	all map[string]map[string]time.Time
	// damaged are the vital ones that could not be read, for people.
	damaged []string
}

func newRecords() *records {
	return &records{
		tags: map[string]tag{}, manifests: map[digest.Digest]manifest{}, lineages: map[string][]rechunk.Version{},
		served: map[string]digest.Digest{}, indexes: map[digest.Digest]digest.Digest{}, all: map[string]map[string]time.Time{},
	}
}

func readTag(r *records, key string, b []byte, _ time.Time) error {
	var t tag
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	if t.Digest.Validate() != nil || t.Source.Validate() != nil {
		return fmt.Errorf("it names no image")
	}
	r.tags[key] = t
	return nil
}

func readManifest(r *records, key string, b []byte, modified time.Time) error {
	m := manifest{modified: modified}
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	r.manifests[digest.Digest(key)] = m
	return nil
}

func readLineage(r *records, key string, b []byte, _ time.Time) error {
	var l rechunk.Lineage
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	r.lineages[key] = l.Versions
	return nil
}

func readServed(r *records, key string, b []byte, _ time.Time) error {
	var v rechunk.Version
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	r.served[key] = v.Digest
	return nil
}

func readIndex(r *records, key string, b []byte, _ time.Time) error {
	var x struct {
		Digest digest.Digest `json:"digest"`
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	r.indexes[digest.Digest(key)] = x.Digest
	return nil
}
