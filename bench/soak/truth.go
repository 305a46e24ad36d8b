package main

import (
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// truth is what the upstream has, and what the proxy acknowledged. It is safe for concurrent use.
type truth struct {
	mu      sync.Mutex
	sources map[digest.Digest]listing    // by manifest
	tags    map[string]digest.Digest     // "repository:tag" to the manifest it leads to
	history map[string][]system          // versions of a tag, oldest first
	acked   map[string]digest.Digest     // "repository:tag" to the manifest that a client got last
	layers  map[digest.Digest]layerHolds // what was read of served layers
}

func newTruth() *truth {
	return &truth{
		sources: map[digest.Digest]listing{}, tags: map[string]digest.Digest{}, history: map[string][]system{},
		acked: map[string]digest.Digest{}, layers: map[digest.Digest]layerHolds{},
	}
}

func (t *truth) published(d digest.Digest, holds listing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sources[d] = holds
}

func (t *truth) moved(tag string, d digest.Digest, s system) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags[tag] = d
	t.history[tag] = append(t.history[tag], s)
}

// versions are the systems that a tag stood for, oldest first.
func (t *truth) versions(tag string) []system {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.history[tag])
}

func (t *truth) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.tags))
}

func (t *truth) of(tag string) digest.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tags[tag]
}

func (t *truth) source(d digest.Digest) (listing, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.sources[d]
	return l, ok
}

func (t *truth) acknowledge(tag string, d digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked[tag] = d
}

// acknowledged is the manifest that a client got last under a tag, empty before the first.
func (t *truth) acknowledged(tag string) digest.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked[tag]
}

func (t *truth) layer(d digest.Digest) (layerHolds, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.layers[d]
	return l, ok
}

func (t *truth) learnLayer(d digest.Digest, l layerHolds) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.layers[d] = l
}
