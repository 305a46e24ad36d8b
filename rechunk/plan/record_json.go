package plan

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// historyJSON is the document; docs/formats.md specifies it.
type historyJSON struct {
	Format     int         `json:"format"`
	Steps      int         `json:"steps"`
	Components []trackJSON `json:"components"`
	Files      string      `json:"files"`
}

type trackJSON struct {
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
	Seen    string `json:"seen"`
	Changed string `json:"changed"`
}

// MarshalJSON writes the document that ParseHistory reads.
func (h *History) MarshalJSON() ([]byte, error) {
	doc := historyJSON{Format: historyFormat, Components: []trackJSON{}}
	if h != nil {
		doc.Steps = h.steps
		for i := range h.tracks {
			t := &h.tracks[i]
			doc.Components = append(doc.Components, trackJSON{t.id, t.version, t.seen.text(), t.changed.text()})
		}
		b := make([]byte, 0, fileTrackBytes*len(h.files))
		for _, f := range h.files {
			b = binary.BigEndian.AppendUint64(b, f.key)
			b = binary.BigEndian.AppendUint16(b, f.chances)
			b = binary.BigEndian.AppendUint16(b, f.changes)
			b = binary.BigEndian.AppendUint16(b, f.alone)
		}
		doc.Files = base64.StdEncoding.EncodeToString(b)
	}
	return json.Marshal(doc)
}

// ParseHistory reads a history. Errors wrap ErrHistory.
func ParseHistory(b []byte) (*History, error) {
	if len(b) > maxHistoryJSON {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrHistory, len(b), maxHistoryJSON)
	}
	var doc historyJSON
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHistory, err)
	}
	switch {
	case doc.Format != historyFormat:
		return nil, fmt.Errorf("%w: format %d, %d expected", ErrHistory, doc.Format, historyFormat)
	case doc.Steps < 0:
		return nil, fmt.Errorf("%w: %d steps", ErrHistory, doc.Steps)
	case len(doc.Components) > maxTracks:
		return nil, fmt.Errorf("%w: %d components, at most %d", ErrHistory, len(doc.Components), maxTracks)
	}
	h := &History{steps: doc.Steps}
	for i := range doc.Components {
		t, err := doc.Components[i].track()
		if err == nil && i > 0 && h.tracks[i-1].id >= t.id {
			err = errors.New("not in ascending order")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: component %d: %w", ErrHistory, i, err)
		}
		h.tracks = append(h.tracks, t)
	}
	var err error
	if h.files, err = parseFileTracks(doc.Files); err != nil {
		return nil, fmt.Errorf("%w: files: %w", ErrHistory, err)
	}
	return h, nil
}

func (j *trackJSON) track() (t track, err error) {
	if j.ID == "" || len(j.ID) > maxTrackID || len(j.Version) > maxVersion {
		return t, fmt.Errorf("an ID of %d and a version of %d bytes, 1 to %d and at most %d allowed", len(j.ID),
			len(j.Version), maxTrackID,
			maxVersion)
	}
	t.id, t.version = j.ID, j.Version
	if t.seen, err = parseBits(j.Seen); err != nil {
		return t, err
	}
	if t.changed, err = parseBits(j.Changed); err != nil {
		return t, err
	}
	for i := range t.seen {
		if t.changed[i]&^t.seen[i] != 0 {
			return t, errors.New("it changed in steps in which it was not there")
		}
	}
	return t, nil
}

// text gives the bits as base64, the newest eight steps first, without the zero bytes at the end.
func (b *bitset) text() string {
	var raw []byte
	for _, w := range b {
		raw = binary.LittleEndian.AppendUint64(raw, w)
	}
	for len(raw) > 0 && raw[len(raw)-1] == 0 {
		raw = raw[:len(raw)-1]
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func parseBits(s string) (b bitset, err error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return b, err
	}
	if len(raw) > MaxSteps/8 {
		return b, fmt.Errorf("%d steps, at most %d", 8*len(raw), MaxSteps)
	}
	for i, c := range raw {
		b[i/8] |= uint64(c) << (i % 8 * 8)
	}
	return b, nil
}

func parseFileTracks(s string) ([]fileTrack, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	if len(raw)%fileTrackBytes != 0 || len(raw) > maxFileTracks*fileTrackBytes {
		return nil, fmt.Errorf("%d bytes: not a multiple of %d up to %d files", len(raw), fileTrackBytes, maxFileTracks)
	}
	var files []fileTrack
	for ; len(raw) > 0; raw = raw[fileTrackBytes:] {
		f := fileTrack{
			key: binary.BigEndian.Uint64(raw), chances: binary.BigEndian.Uint16(raw[8:]),
			changes: binary.BigEndian.Uint16(raw[10:]),
			alone:   binary.BigEndian.Uint16(raw[12:]),
		}
		if len(files) > 0 && files[len(files)-1].key >= f.key {
			return nil, errors.New("not in ascending order")
		}
		if f.changes > f.chances || f.chances > maxCount || f.alone > maxCount {
			return nil, fmt.Errorf("counts %d of %d and %d, at most %d", f.changes, f.chances, f.alone, maxCount)
		}
		files = append(files, f)
	}
	return files, nil
}
