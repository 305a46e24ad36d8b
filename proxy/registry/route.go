package registry

import (
	"net/http"
	"strings"
)

// Route is the kind of thing that a path asks for.
type Route string

// The routes. RouteUnknown is every other path.
const (
	RouteUnknown   Route = "unknown"
	RouteBase      Route = "base"
	RouteManifest  Route = "manifest"
	RouteBlob      Route = "blob"
	RouteUpload    Route = "upload"
	RouteTags      Route = "tags"
	RouteReferrers Route = "referrers"
	RouteCatalog   Route = "catalog"
	RouteDelta     Route = "delta"
	// RouteChunkIndex and RouteChunk are for casync and desync.
	RouteChunkIndex Route = "chunk-index"
	RouteChunk      Route = "chunk"
)

// target is a path taken apart. Neither name nor reference is checked yet.
type target struct {
	route     Route
	name      string
	reference string
}

// parsePath takes a decoded path apart. A name may contain every word that a route has, so the path is read from its right
// end; a manifest called "list" of the repository "a/tags" is thereby told from the tags of "a".
func parsePath(path string) target {
	if rest, ok := strings.CutPrefix(path, chunksPrefix); ok {
		return parseChunkPath(rest)
	}
	rest, ok := strings.CutPrefix(path, "/v2")
	switch {
	case path == deltaPath:
		return target{route: RouteDelta}
	case !ok || rest != "" && rest[0] != '/':
		return target{route: RouteUnknown}
	case rest == "" || rest == "/":
		return target{route: RouteBase}
	case rest == "/_catalog":
		return target{route: RouteCatalog}
	}
	rest, last := cutLast(rest[1:])
	name, word := cutLast(rest)
	switch {
	case word == "blobs" && last == "uploads":
		return named(RouteUpload, name, "")
	case word == "manifests":
		return named(RouteManifest, name, last)
	case word == "blobs":
		return named(RouteBlob, name, last)
	case word == "referrers":
		return named(RouteReferrers, name, last)
	case word == "tags" && last == "list":
		return named(RouteTags, name, "")
	case word == "uploads":
		if name, word = cutLast(name); word == "blobs" {
			return named(RouteUpload, name, last)
		}
	}
	return target{route: RouteUnknown}
}

// named is a target, unless it lacks a name or the reference that its route needs.
func named(route Route, name, reference string) target {
	needsReference := route == RouteManifest || route == RouteBlob || route == RouteReferrers
	if name == "" || needsReference && reference == "" {
		return target{route: RouteUnknown}
	}
	return target{route: route, name: name, reference: reference}
}

// cutLast splits at the last slash; without one, all of it comes after.
func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}

// ours reports whether the path belongs to what is served here, known or not.
func ours(path string) bool {
	return path == "/v2" || strings.HasPrefix(path, "/v2/") || path == deltaPath || strings.HasPrefix(path, chunksPrefix)
}

// escaped reports whether the path came with percent-escapes, which have no use in names and hide what a path is from
// whoever filters them in front of us. A colon may be escaped: some clients do so in digests.
func escaped(r *http.Request) bool {
	path := r.URL.EscapedPath()
	for {
		_, after, ok := strings.Cut(path, "%")
		if !ok {
			return false
		}
		if len(after) < 2 || !strings.EqualFold(after[:2], "3A") {
			return true
		}
		path = after[2:]
	}
}
