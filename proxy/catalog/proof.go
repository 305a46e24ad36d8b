package catalog

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Proof says that a repository was proven to have a manifest, and which of the blobs that it names: verified bytes of them
// came through that repository, or the image was made here of a source of which that holds. To be named somewhere proves
// nothing.
type Proof struct {
	// At is when the proof was first written.
	At time.Time `json:"at"`
	// Made: the image was made here, so that all that its manifest names is proven with it.
	Made bool `json:"made,omitempty"`
	// All: every blob that the manifest names came through, too.
	All bool `json:"all,omitempty"`
	// Blobs are those that did, where not all have.
	Blobs []digest.Digest `json:"blobs,omitempty"`
}

// A proof goes with the manifest's own record: nobody is served the manifest from the store then.
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
		name: "member", retired: true, encode: ContentKey.String, decode: parseContentKey,
		leads: func(k ContentKey, _ *struct{}) Leads { return Leads{Owner: Owner{Content: k.Digest}} },
	}
}

// Attempt is a job that began and has not ended well: who reads it and is not at the job takes it for one that its process
// died of.
type Attempt struct {
	// Source is the image that the job is for; the record goes with it. Repository, "host/path", is where it was pulled.
	Source     digest.Digest `json:"source_digest"`
	Repository string        `json:"repository"`
	// StartedAt is when the last try began.
	StartedAt time.Time `json:"started_at"`
	// Replica and Process say whose it was: a name that no other process has, and for people the process' number on its
	// host.
	Replica string `json:"replica"`
	Process int    `json:"process"`
	// Tries are those that did not end well in a row, this one included.
	Tries int `json:"tries"`
}

func attemptKind() kind[string, Attempt] {
	return kind[string, Attempt]{
		name: "attempt", encode: asItIs, decode: anyKey,
		leads: func(_ string, a *Attempt) Leads { return Leads{Owner: Owner{Manifest: a.Source}} },
	}
}
