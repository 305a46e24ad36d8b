package pages

import (
	"cmp"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/operate"
)

// A treemap's measures, in units of its view box.
const (
	mapWidth, mapHeight   = 1000.0, 360.0
	phoneWidth, phoneHigh = 340.0, 320.0 // about its pixels there
	// A label takes so much room: height of a line, and width of a character.
	labelHeight, labelWidth = 22.0, 8.2
	mostBoxes               = 400
)

// treemap shows layers as areas: size by bytes, colour by heat.
type treemap struct {
	Width, Height float64
	Boxes         []box
}

// box is a layer in a treemap.
type box struct {
	X, Y, Width, Height float64
	Place               int
	Name, Label         string // the whole name, and as much as there is room for
	Class               string
	Kept                bool
	Size                int64
	Heat                float64
}

// mapOf lays layers out as squarified treemaps do (Bruls, Huizing and van Wijk, 2000): rows along the shorter side, each
// filled as long as that makes its boxes squarer.
func mapOf(layers []operate.LayerReport, wide, high float64) treemap {
	out := treemap{Width: wide, Height: high}
	total := 0.0
	for i, l := range layers {
		if l.Size > 0 {
			out.Boxes = append(out.Boxes,
				box{Place: i + 1, Name: l.Name, Class: heatClass(l.Heat), Kept: l.Kept, Size: l.Size,
					Heat: l.Heat})
		}
	}
	slices.SortStableFunc(out.Boxes, func(a, b box) int { return cmp.Compare(b.Size, a.Size) })
	out.Boxes = out.Boxes[:min(len(out.Boxes), mostBoxes)]
	for _, b := range out.Boxes {
		total += float64(b.Size)
	}
	areas := make([]float64, len(out.Boxes))
	for i, b := range out.Boxes {
		areas[i] = float64(b.Size) / total * wide * high
	}
	x, y, width, height := 0.0, 0.0, wide, high
	for i := 0; i < len(areas); {
		side := min(width, height)
		end, sum := i+1, areas[i]
		for end < len(areas) && worst(areas[i:end+1], sum+areas[end], side) <= worst(areas[i:end], sum, side) {
			sum += areas[end]
			end++
		}
		depth := sum / side
		at := 0.0
		for k := i; k < end; k++ {
			length, b := areas[k]/depth, &out.Boxes[k]
			if width >= height {
				b.X, b.Y, b.Width, b.Height = x, y+at, depth, length
			} else {
				b.X, b.Y, b.Width, b.Height = x+at, y, length, depth
			}
			at += length
			b.Label = label(b.Name, b.Width, b.Height)
		}
		if width >= height {
			x, width = x+depth, width-depth
		} else {
			y, height = y+depth, height-depth
		}
		i = end
	}
	return out
}

// worst is how far the least square box of a row is from a square.
func worst(row []float64, sum, side float64) float64 {
	out := 0.0
	for _, area := range row {
		ratio := side * side * area / (sum * sum)
		out = max(out, ratio, 1/ratio)
	}
	return out
}

// label shortens a name to the room there is.
func label(name string, width, height float64) string {
	most := int((width - 8) / labelWidth)
	if height < labelHeight || most < 3 {
		return ""
	}
	if runes := []rune(name); len(runes) > most {
		return strings.TrimSpace(string(runes[:most-1])) + "…"
	}
	return name
}

// heatClass is the colour of an expected share of change.
func heatClass(heat float64) string {
	switch {
	case heat >= 0.5:
		return "heat4"
	case heat >= 0.2:
		return "heat3"
	case heat >= 0.05:
		return "heat2"
	case heat >= 0.01:
		return "heat1"
	}
	return "heat0"
}

// bar is a measure of a whole, drawn in SVG, of parts in percent from the left.
type bar struct {
	Label string
	Parts []barPart
}

// barPart is a part of a bar.
type barPart struct {
	Class    string
	At, Size float64 // in percent
}

// measured makes a bar of one part.
func measured(class string, part, whole float64, label string) bar {
	b := bar{Label: label}
	if whole > 0 {
		b.Parts = []barPart{{class, 0, min(100, max(0, 100*part/whole))}}
	}
	return b
}

// split makes a bar of two parts that make up a whole.
func split(first string, a float64, second string, b float64, label string) bar {
	out := bar{Label: label}
	if a+b > 0 {
		at := 100 * max(0, a) / (a + b)
		out.Parts = []barPart{{first, 0, at}, {second, at, 100 - at}}
	}
	return out
}
