package main

import (
	"archive/tar"
	"cmp"
	"slices"
)

// survey is what there is to know of a layer before it is changed.
type survey struct {
	files []surveyed
	bytes int64 // of all files
}

type surveyed struct {
	path string
	size int64
}

func surveyLayer(layer string) (survey, error) {
	var s survey
	err := derive(layer, func(h *tar.Header) (*tar.Writer, error) {
		if h.Typeflag == tar.TypeReg {
			s.files = append(s.files, surveyed{h.Name, h.Size})
			s.bytes += h.Size
		}
		return nil, nil
	}, nothing)
	return s, err
}

// chosen picks files that have a share of all bytes together, the same ones every time.
func (s survey) chosen(share float64) func(path string) bool {
	order := slices.Clone(s.files)
	slices.SortFunc(order, func(a, b surveyed) int { return cmp.Compare(hashOf(a.path), hashOf(b.path)) })
	in, left := map[string]bool{}, int64(share*float64(s.bytes))
	for _, f := range order {
		if f.size <= left && changeable(f.path) {
			in[f.path] = true
			left -= f.size
		}
	}
	return func(path string) bool { return in[path] }
}
