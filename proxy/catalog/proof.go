package catalog

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Proof says that a repository was proven to have content, and how. To be named there proves nothing.
type Proof struct {
	// MediaType is what the repository said that it is; empty for a blob.
	MediaType string `json:"media_type,omitempty"`
	// Why is what proved it.
	Why ProofReason `json:"why"`
	// At is when.
	At time.Time `json:"at"`
}

// ProofReason is what proved that a repository has content.
type ProofReason string

// What proves that a repository has content.
const (
	// ProvenBytes: verified bytes of it came through that repository.
	ProvenBytes ProofReason = "bytes"
	// ProvenMade: it is an image that was made here of a source that the repository was proven to have.
	ProvenMade ProofReason = "made"
)

// A proof stands for a manifest with its config and layers; it goes with the manifest's own record, as nobody is served the manifest
// from the store by then.
func proofKind() kind[ContentKey, Proof] {
	return kind[ContentKey, Proof]{
		name: "proof", encode: ContentKey.String, decode: parseContentKey,
		leads: func(k ContentKey, _ *Proof) Leads { return Leads{Owner: Owner{Manifest: k.Digest}} },
	}
}

// A blob's proof is for one that was fetched without a manifest of the repository that names it.
func blobProofKind() kind[ContentKey, Proof] {
	return kind[ContentKey, Proof]{
		name: "blob-proof", encode: ContentKey.String, decode: parseContentKey,
		leads: func(k ContentKey, _ *Proof) Leads { return Leads{Owner: Owner{Content: k.Digest}} },
	}
}

// Members were written for whatever a manifest names.
func memberKind() kind[ContentKey, struct{}] {
	return kind[ContentKey, struct{}]{
		name: "member", encode: ContentKey.String, decode: parseContentKey,
		leads: func(k ContentKey, _ *struct{}) Leads { return Leads{Owner: Owner{Content: k.Digest}} },
	}
}

// Attempt is a job that began and has not ended well: who reads it and is not at the job takes it for one that its process died of.
type Attempt struct {
	// Source is the image that the job is for; the record goes with it.
	Source digest.Digest `json:"source_digest"`
	// StartedAt is when the last try began.
	StartedAt time.Time `json:"started_at"`
	// Replica and Process say whose it was: a name that no other process has, and for people the process' number on its host.
	Replica string `json:"replica"`
	Process int    `json:"process"`
	// Tries are those that did not end well in a row, this one included.
	Tries int `json:"tries"`
	// Error is why the last one failed; empty while one runs, and when the process died of it.
	Error string `json:"error,omitempty"`
}

func attemptKind() kind[string, Attempt] {
	return kind[string, Attempt]{
		name: "attempt", encode: asItIs, decode: anyKey,
		leads: func(_ string, a *Attempt) Leads { return Leads{Owner: Owner{Manifest: a.Source}} },
	}
}
