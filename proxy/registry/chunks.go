package registry

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/name"
)

// ChunkQuery says in which form an image is wanted as chunks.
type ChunkQuery struct {
	// Sizes are those of chunks in KiB, "16:64:256"; empty for those by default.
	Sizes string
	// Platform picks an image from an index, "os/arch[/variant]"; empty for the one by default.
	Platform string
}

// ChunkIndex says what chunks the archive of an image has.
type ChunkIndex struct {
	// Image is the image's manifest.
	Image digest.Digest
	// Bytes are those of the index file, Digest is their SHA-256.
	Bytes  []byte
	Digest digest.Digest
}

// Chunk is a chunk that a repository may give.
type Chunk struct {
	ID casync.ID
	// Size is its length in bytes.
	Size int64
	// Packed and PackedSize are digest and length of the chunk as it is stored, one zstd frame.
	Packed     digest.Digest
	PackedSize int64
}

// Chunks have images as chunks, for casync and desync. They are safe for concurrent use.
type Chunks interface {
	// ChunkIndex returns the index of the image that a tag or digest stands for, which may have to be made.
	ChunkIndex(ctx context.Context, repo name.Repository, ref name.Reference, q ChunkQuery) (*ChunkIndex, error)
	// FindChunk finds a chunk of an image of the repository whose index was asked for, and that the client may have.
	FindChunk(ctx context.Context, repo name.Repository, id casync.ID) (Chunk, error)
	// ReadChunk returns the bytes of a chunk that was found, packed or as it is.
	ReadChunk(ctx context.Context, repo name.Repository, c Chunk, packed bool) ([]byte, error)
	// ChunkURL returns where a client can get a packed chunk directly, or nothing.
	ChunkURL(r *http.Request, c Chunk) string
}

const (
	chunksPrefix = "/casync/"
	indexSuffix  = ".caibx"

	codeChunkUnknown = "CHUNK_UNKNOWN"
	headerImage      = "Strata-Image-Digest"
)

// chunkStores are names of the store of a repository's chunks: ours, and the one that casync looks for beside an index.
var chunkStores = [...]string{"store", "default.castr"}

// ChunkUnknown is for a chunk that no image of a repository has.
func ChunkUnknown(message string) *Error {
	return &Error{Status: http.StatusNotFound, Code: codeChunkUnknown, Message: message}
}

// parseChunkPath takes apart what follows chunksPrefix.
func parseChunkPath(rest string) target {
	repo, file := cutLast(rest)
	if ref, ok := strings.CutSuffix(file, indexSuffix); ok && repo != "" && ref != "" {
		return target{route: RouteChunkIndex, name: repo, reference: ref}
	}
	above, dir := cutLast(repo)
	repo, store := cutLast(above)
	for _, s := range chunkStores {
		if store == s && repo != "" {
			return target{route: RouteChunk, name: repo, reference: dir + "/" + file}
		}
	}
	return target{route: RouteUnknown}
}

// chunkIndex answers with the index of an image.
func (h *handler) chunkIndex(w *response, r *http.Request, repo name.Repository, reference string, query url.Values) error {
	if h.Chunks == nil {
		return NotFound("images are not served as chunks here")
	}
	ref, err := name.ParseRef(reference)
	if err != nil {
		return nameError(err)
	}
	if err := onlyTakes(query, "chunk-size", "platform"); err != nil {
		return err
	}
	info := requestInfo(r)
	info.setReference(ref)
	q := ChunkQuery{Sizes: query.Get("chunk-size"), Platform: query.Get("platform")}
	x, err := h.Chunks.ChunkIndex(r.Context(), repo, ref, q)
	if err != nil {
		return err
	}
	info.Digest, info.Origin = x.Image, MadeHere
	// What a tag stands for may depend on who asks.
	w.private = w.private || !ref.IsDigest()
	setContentHeaders(w, blobMediaType, x.Digest, ref.IsDigest())
	w.Header().Set(headerImage, x.Image.String())
	n := int64(len(x.Bytes))
	if !h.large.TryAcquire(n) {
		return TooManyRequests(largeRetry)
	}
	defer h.large.Release(n)
	err = serveContent(w, r, bytes.NewReader(x.Bytes), n)
	info.ToEnd = err == nil && toEnd(w, n)
	return err
}

// chunk answers with a chunk. Only a body needs it to be read.
func (h *handler) chunk(w *response, r *http.Request, repo name.Repository, path string, query url.Values) error {
	if h.Chunks == nil {
		return NotFound("images are not served as chunks here")
	}
	if err := onlyTakes(query); err != nil {
		return err
	}
	id, packed, err := casync.ParsePath(path)
	if err != nil {
		return ChunkUnknown(err.Error())
	}
	c, err := h.Chunks.FindChunk(r.Context(), repo, id)
	if err != nil {
		return err
	}
	info := requestInfo(r)
	info.Origin = MadeHere
	d, size := c.Packed, c.PackedSize
	if !packed {
		// nobody knows another digest of what is not stored like this, and the name is one
		d, size = "", c.Size
	}
	tag := etag(d)
	if d == "" {
		tag = `"` + id.String() + `"`
	}
	asked := r.Method == http.MethodHead || unchanged(r, tag)
	if packed && !asked && h.Redirects != nil {
		if to := h.Chunks.ChunkURL(r, c); to != "" {
			w.Header().Set("Cache-Control", "no-store") // the URL ends sooner than the chunk
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return nil
		}
	}
	setContentHeaders(w, blobMediaType, d, true)
	if d == "" {
		w.Header().Del(headerDigest)
		w.Header().Set("Etag", tag)
	}
	if asked {
		return serveContent(w, r, noContent(size), size)
	}
	if !h.large.TryAcquire(size) {
		return TooManyRequests(largeRetry)
	}
	defer h.large.Release(size)
	b, err := h.Chunks.ReadChunk(r.Context(), repo, c, packed)
	if err != nil {
		for _, header := range []string{"Etag", headerDigest, "Cache-Control"} {
			w.Header().Del(header)
		}
		return err
	}
	return serveContent(w, r, bytes.NewReader(b), size)
}
