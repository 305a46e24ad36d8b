package layer

import (
	"context"
	"fmt"
	"io"
)

// EncoderNamed returns the format whose encoder this build has under a name that records have (Encoder.String): with it, the
// same tar stream gives the same blob again.
func EncoderNamed(encoder string) (Format, bool) {
	for _, f := range Formats() {
		if f.Spec().Encoder.String() == encoder {
			return f, true
		}
	}
	return nil, false
}

// EncoderNames lists the encoders that this build has, by the names that EncoderNamed takes.
func EncoderNames() []string {
	var out []string
	for _, f := range Formats() {
		out = append(out, f.Spec().Encoder.String())
	}
	return out
}

// Compress writes the blob of a layer whose tar stream there is already. Of a stream that the format's Writer made, that is
// the same blob. It reads to io.EOF, and ends soon after ctx does. What it has written when the stream fails is the blob's
// beginning.
func Compress(ctx context.Context, dst io.Writer, stream io.Reader, f Format) (Blob, error) {
	c, ok := f.(Compressed)
	if !ok {
		return Blob{}, fmt.Errorf("layers of format %q are not made of a tar stream", f.Spec().Name)
	}
	z, err := c.compressor()
	if err != nil {
		return Blob{}, err
	}
	blob := counter{w: dst}
	z.Reset(&blob)
	plain := counter{w: z}
	err = pump(ctx, &plain, stream)
	if err != nil {
		z.Reset(io.Discard) // an end would not be the blob's
	}
	// The encoder is closed in any case: it may hold goroutines.
	if cerr := z.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Blob{}, fmt.Errorf("compressing a layer: %w", err)
	}
	return Blob{Size: blob.n, TarSize: plain.n, Annotations: notes(z)}, nil
}

// pump copies to io.EOF while ctx lasts.
func pump(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
