package image

import (
	"encoding/json"
	"fmt"
	"maps"
)

// LabelHHD is the label in which hhd-dev/rechunk keeps what it knows of an image, as JSON: the versions of packages and,
// since its version 2, their layers. It reads both of the image before.
const LabelHHD = "dev.hhd.rechunk.info"

// maxHHD bounds the names in the layers of a label; Bazzite has 2,500 packages.
const maxHHD = 1 << 17

// HHD is what hhd-dev/rechunk says of an image.
type HHD struct {
	// Layers are the names of the packages in each layer.
	Layers [][]string
	all    fields
}

// ParseHHD reads the label LabelHHD. One without layers, as the first version of it has none, gives nil. An error wraps
// ErrInvalid.
func ParseHHD(label string) (*HHD, error) {
	if err := checkMembers("label "+LabelHHD, []byte(label), maxHHD); err != nil {
		return nil, err
	}
	all, err := parseFields("label "+LabelHHD, []byte(label))
	if err != nil {
		return nil, err
	}
	h := &HHD{all: all}
	if err := json.Unmarshal(orNull(all.get("layers")), &h.Layers); err != nil {
		return nil, fmt.Errorf("%w: label %s: %w", ErrInvalid, LabelHHD, err)
	}
	if len(h.Layers) == 0 {
		return nil, nil
	}
	return h, nil
}

// With is the label with other layers; all else in it stays.
func (h *HHD) With(layers [][]string) (string, error) {
	all := maps.Clone(h.all)
	if err := all.set("layers", layers); err != nil {
		return "", err
	}
	b, err := json.Marshal(all)
	return string(b), err
}
