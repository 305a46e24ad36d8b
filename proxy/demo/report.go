package demo

// Report is the outcome of a demo and its JSON document. Sizes are bytes, times are seconds.
type Report struct {
	// Files and Bytes describe the first version's filesystem: regular files and what they hold.
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Versions []Version `json:"versions"`
	Total    Total     `json:"total"`
	// Same says that every version had the same filesystem both ways.
	Same bool `json:"same"`
	// Kept is the directory that keeps the images, empty when they are gone.
	Kept string `json:"kept"`
}

// Version is one version of the series, pulled both ways by clients that have the versions before.
type Version struct {
	Version string `json:"version"`
	Change  string `json:"change"`
	// DirectBytes is what a pull from the upstream registry took, StrataBytes one through Strata: manifest, config and
	// layers.
	DirectBytes int64 `json:"direct_bytes"`
	StrataBytes int64 `json:"strata_bytes"`
	// FloorBytes is what no scheme of layers can beat: the changed files alone in one compressed layer.
	FloorBytes int64 `json:"floor_bytes"`
	// Saving is the share of DirectBytes that StrataBytes leave out, at most 1.
	Saving float64 `json:"saving"`
	// Layers are those of the image through Strata, LayersKept those of them that the client had, LayersNew the rest.
	Layers     int `json:"layers"`
	LayersKept int `json:"layers_kept"`
	LayersNew  int `json:"layers_new"`
	// DirectSeconds and StrataSeconds are how long the pulls took; the second holds the rechunking, which is done once for
	// all clients.
	DirectSeconds float64 `json:"direct_seconds"`
	StrataSeconds float64 `json:"strata_seconds"`
	SourceDigest  string  `json:"source_digest"`
	Digest        string  `json:"digest"`
	// Served is what the proxy says that it served: "rechunked" if all is well.
	Served string `json:"served"`
	// Same says that both images hold the same filesystem; Differences counts what does not fit.
	Same        bool `json:"same"`
	Differences int  `json:"differences"`
}

// Total adds up a series.
type Total struct {
	DirectBytes int64   `json:"direct_bytes"`
	StrataBytes int64   `json:"strata_bytes"`
	FloorBytes  int64   `json:"floor_bytes"`
	Saving      float64 `json:"saving"`
	// UpdateSaving is the saving of all versions but the first.
	UpdateSaving float64 `json:"update_saving"`
	Seconds      float64 `json:"seconds"` // of the whole demo
}

func (r *Report) addUp(seconds float64) {
	t := Total{Seconds: seconds}
	r.Same = len(r.Versions) > 0
	for _, v := range r.Versions {
		t.DirectBytes += v.DirectBytes
		t.StrataBytes += v.StrataBytes
		t.FloorBytes += v.FloorBytes
		r.Same = r.Same && v.Same
	}
	t.Saving = saving(t.DirectBytes, t.StrataBytes)
	if len(r.Versions) > 0 {
		first := r.Versions[0]
		t.UpdateSaving = saving(t.DirectBytes-first.DirectBytes, t.StrataBytes-first.StrataBytes)
	}
	r.Total = t
}

func saving(direct, strata int64) float64 {
	if direct == 0 {
		return 0
	}
	return 1 - float64(strata)/float64(direct)
}
