package browsertest

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"slices"
)

// Small makes a picture of a page one for documents: at most so many pixels high, and of the 255 colours that it has most
// of. Pages hardly have more but where letters are smoothed.
func Small(picture []byte, height int) ([]byte, error) {
	whole, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	bounds := whole.Bounds()
	bounds.Max.Y = min(bounds.Max.Y, bounds.Min.Y+height)
	times := map[color.NRGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			times[color.NRGBAModel.Convert(whole.At(x, y)).(color.NRGBA)]++
		}
	}
	var colours []color.NRGBA
	for c := range times {
		colours = append(colours, c)
	}
	number := func(c color.NRGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
	slices.SortFunc(colours, func(a, b color.NRGBA) int {
		if times[a] != times[b] {
			return times[b] - times[a]
		}
		return number(a) - number(b)
	})
	palette := make(color.Palette, 0, 255)
	for _, c := range colours[:min(len(colours), 255)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	draw.Draw(out, bounds, whole, bounds.Min, draw.Src)
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out)
	return b.Bytes(), err
}
