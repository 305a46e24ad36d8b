package layer

import (
	"context"
	"errors"
	"io"
)

// Why Chunked makes no table of contents of a layer.
const (
	whyUntellable = "no table of contents can tell what is in it"
	whySmall      = "its files are so small that tables of contents would make clients fetch more, not less"
)

// A client that fetches a layer in part fetches the table of contents and tar-split's data in any case, some 75 bytes of
// them for each entry. Where that is half of what the whole layer would have as Zstd, hardly a client gains by it, and the
// blob is three and more times as long. Below a hundred entries there is little to lose.
const (
	worthEntries = 100
	worthBytes   = 150 // of Zstd, for each entry
)

// untold says why a layer gets no table of contents; "" when it does get one.
func (w *compressedWriter) untold(ctx context.Context, l *List) (string, error) {
	if !tellable(l) {
		return whyUntellable, nil
	}
	if l.len() < worthEntries {
		return "", nil
	}
	z, err := w.plainWriter()
	if err != nil {
		return "", err
	}
	_, err = z.Write(ctx, &allowance{left: worthBytes * int64(l.len())}, l)
	if errors.Is(err, errSpent) {
		return "", nil
	}
	return whySmall, err
}

// writePlainly writes a layer as Zstd does.
func (w *compressedWriter) writePlainly(ctx context.Context, dst io.Writer, l *List, why string) (Blob, error) {
	z, err := w.plainWriter()
	if err != nil {
		return Blob{}, err
	}
	blob, err := z.Write(ctx, dst, l)
	encoder := Zstd.Spec().Encoder
	blob.Encoder, blob.Why = &encoder, why
	return blob, err
}

// plainWriter is the writer of what gets no table of contents.
func (w *compressedWriter) plainWriter() (Writer, error) {
	if w.plainly == nil {
		var err error
		if w.plainly, err = Zstd.NewWriter(); err != nil {
			return nil, err
		}
	}
	return w.plainly, nil
}

var errSpent = errors.New("more bytes than were allowed")

// allowance takes bytes and keeps none, and fails with errSpent when there are more than it allows.
type allowance struct{ left int64 }

func (a *allowance) Write(p []byte) (int, error) {
	if a.left -= int64(len(p)); a.left < 0 {
		return 0, errSpent
	}
	return len(p), nil
}
