package delta

// How says how a file comes about.
type How string

// The ways in which a file comes about.
const (
	Same    How = "same"    // a file of the seed, or one made before in this delta, has the same bytes
	Patch   How = "patch"   // as a patch of the bytes as they are
	Wrapped How = "wrapped" // as a patch of what is compressed inside, at least in part
	Whole   How = "whole"   // nothing of the seed is of use
)

// Item is a file of the layer and what it costs.
type Item struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	// Bytes is the file's share of the delta. All items' and Report.Headers add up to the delta, rounding aside.
	Bytes int64 `json:"bytes"`
	How   How   `json:"how"`
	// Source is the path of the seed's file that most of it comes from; "" for none.
	Source string `json:"source,omitempty"`
	// Why tells what stood in the way of something better, in a few words: "no encoder makes the same bytes"; "" for
	// nothing.
	Why string `json:"why,omitempty"`
	// Seconds is what encoders take for it.
	Seconds float64 `json:"seconds,omitempty"`
}

// Report is what Make has to tell.
type Report struct {
	// Size is the length of the delta, TarSize and BlobSize those of the layer.
	Size     int64 `json:"size"`
	TarSize  int64 `json:"tar_size"`
	BlobSize int64 `json:"blob_size"`
	// Headers is the share of the delta that belongs to no file: its own header, and those of the tar stream.
	Headers int64 `json:"headers"`
	// Seconds is what the encoders take to make the layer, one after another.
	Seconds float64 `json:"seconds"`
	// Programs are those that the delta runs.
	Programs []Program `json:"programs,omitempty"`
	// Items are the layer's files in the order of the stream.
	Items []Item `json:"items"`
}
