package catalog

import (
	"errors"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Evidence is what an upstream had about a source manifest or index, when it was last asked: the signatures that a verdict
// rests on, and what there was none of.
type Evidence struct {
	At time.Time `json:"at"`
	// Absent is what tags about the image end in that there were not, as name.Reference.About has it; "" is the list of what
	// refers to the image.
	Absent []string `json:"absent,omitempty"`
	// Image is the signature image under cosign's tag, Referrers the list of what refers to the image, and Bundles are the
	// manifests of that which were looked at. They are empty where nobody looked.
	Image     digest.Digest   `json:"image,omitempty"`
	Referrers digest.Digest   `json:"referrers,omitempty"`
	Bundles   []digest.Digest `json:"bundles,omitempty"`
	// Pack holds these and all that they name, and Documents say where; without documents there is none.
	Pack      digest.Digest `json:"pack,omitempty"`
	Documents []Packed      `json:"documents,omitempty"`
}

// maxAbsent bounds what there is none of in one record.
const maxAbsent = 16

func (e *Evidence) check() error {
	if len(e.Absent) > maxAbsent || len(e.Bundles) > maxReferrers || len(e.Documents) > maxPacked {
		return errors.New("it names too many documents")
	}
	if e.Pack == "" && len(e.Documents) == 0 {
		if e.Image != "" || e.Referrers != "" || len(e.Bundles) > 0 {
			return errors.New("it has no pack")
		}
		return nil
	}
	named := append([]digest.Digest{e.Image, e.Referrers}, e.Bundles...)
	for _, d := range slices.DeleteFunc(named, func(d digest.Digest) bool { return d == "" }) {
		if d.Validate() != nil {
			return errors.New("a document has no digest")
		}
	}
	if e.Pack.Validate() != nil {
		return errors.New("it names no pack")
	}
	return checkPacked(e.Documents)
}

// The documents are content of the pack alone, so that is all there is to keep.
func evidenceKind() kind[ContentKey, Evidence] {
	return kind[ContentKey, Evidence]{
		name: "evidence", encode: ContentKey.String, decode: parseContentKey, check: (*Evidence).check,
		leads: func(k ContentKey, e *Evidence) Leads {
			out := Leads{Owner: Owner{Source: k.Digest}}
			if e.Pack != "" {
				out.To = []Target{{Digest: e.Pack, Use: Document}}
			}
			return out
		},
	}
}
