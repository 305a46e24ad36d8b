package bundle

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/strict"
)

// Types of predicates.
const (
	// Signed is the predicate of cosign's signatures; it says nothing more.
	Signed = "https://sigstore.dev/cosign/sign/v1"
	// Provenance is SLSA's, version 1: how an artifact was made.
	Provenance = "https://slsa.dev/provenance/v1"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	olderType     = "https://in-toto.io/Statement/v0.1"
	maxSubjects   = 1024
)

// Statement says something of artifacts: an in-toto statement, version 1.
type Statement struct {
	// Subjects are the artifacts' digests.
	Subjects []digest.Digest
	// Names are what the subjects are called, in the same order, "" where they have no name; nil where none has.
	Names []string
	// Type is the predicate's.
	Type string
	// Predicate is what is said, as JSON.
	Predicate json.RawMessage
}

// About reports whether the statement is about an artifact.
func (s *Statement) About(d digest.Digest) bool {
	for _, subject := range s.Subjects {
		if subject == d {
			return true
		}
	}
	return false
}

// NamesOf returns what an artifact is called, once for each subject that it is, "" where that has no name.
func (s *Statement) NamesOf(d digest.Digest) (names []string) {
	for i, subject := range s.Subjects {
		switch {
		case subject != d:
		case i < len(s.Names):
			names = append(names, s.Names[i])
		default:
			names = append(names, "")
		}
	}
	return names
}

// statement takes members that it does not know, as in-toto asks for.
type statement struct {
	Type          string          `json:"_type" strict:"required"`
	Subject       []subject       `json:"subject" strict:"required"`
	PredicateType string          `json:"predicateType" strict:"required"`
	Predicate     json.RawMessage `json:"predicate,omitempty"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest" strict:"required"`
}

// parseStatement reads a statement. Errors wrap ErrInvalid.
func parseStatement(raw []byte) (*Statement, error) {
	var s statement
	if err := strict.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%w: its statement: %w", ErrInvalid, err)
	}
	if s.Type != statementType && s.Type != olderType || len(s.Subject) > maxSubjects {
		return nil, fmt.Errorf("%w: its statement is of another kind, or has more than %d subjects", ErrInvalid, maxSubjects)
	}
	out := &Statement{Type: s.PredicateType, Predicate: s.Predicate}
	for _, sub := range s.Subject {
		if d := digest.Digest("sha256:" + sub.Digest["sha256"]); d.Validate() == nil {
			out.Subjects, out.Names = append(out.Subjects, d), append(out.Names, sub.Name)
		}
	}
	return out, nil
}

func (s *Statement) marshal() ([]byte, error) {
	out := statement{Type: statementType, PredicateType: s.Type, Predicate: s.Predicate}
	for i, d := range s.Subjects {
		named := ""
		if i < len(s.Names) {
			named = s.Names[i]
		}
		out.Subject = append(out.Subject,
			subject{Name: named, Digest: map[string]string{string(d.Algorithm()): d.Encoded()}})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	return b, nil
}

// hint names a key in a bundle.
func hint(key keys.Public) string { return base64.StdEncoding.EncodeToString(key.Hint()) }
