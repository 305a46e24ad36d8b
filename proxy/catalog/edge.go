package catalog

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
)

// EdgeImages are the images of a repository, "host/path", that came here from another Strata, the latest first. Their layers
// are looked for among those that it is asked for deltas of, and they are what deltas are made from, as long as they are
// stored.
type EdgeImages struct {
	Images []EdgeImage `json:"images"`
}

// EdgeImage is one of them.
type EdgeImage struct {
	Manifest digest.Digest `json:"manifest"`
	// At is when it was last seen to be new.
	At time.Time `json:"at"`
}

// MaxEdgeImages bounds the images in one record.
const MaxEdgeImages = 24

func edgeImagesKind() kind[string, EdgeImages] {
	return kind[string, EdgeImages]{
		name: KindEdgeImages, encode: asItIs, decode: anyKey,
		check: func(e *EdgeImages) error {
			if len(e.Images) > MaxEdgeImages {
				return errors.New("it remembers too many images")
			}
			for _, i := range e.Images {
				if i.Manifest.Validate() != nil {
					return errNoImage
				}
			}
			return nil
		},
	}
}
