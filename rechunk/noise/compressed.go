package noise

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// signature ends a kernel module that is signed (kernel/module/signing.c).
const signature = "~Module signature appended~\n"

// compressed makes the form of a file that is streams of one decoder and nothing else.
func (j *Judge) compressed(ctx context.Context, decoder string, c Content) (*form, error) {
	streams, err := j.streams(ctx, c)
	if err != nil {
		return nil, err
	}
	sum, end := sha256.New(), int64(0)
	for _, s := range streams {
		if s.Decoder != decoder || s.Offset != end {
			return nil, unjudged("it is not what its name says, from byte %d on", end)
		}
		end += s.Length
		t, err := trait(c, s)
		if err != nil {
			return nil, err
		}
		plain, err := j.plain(ctx, c, s)
		if err != nil {
			return nil, err
		}
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(t))))
		sum.Write(t)
		sum.Write(plain)
	}
	if end != c.Size() || end == 0 {
		return nil, unjudged("it is not what its name says, from byte %d on", end)
	}
	f := &form{}
	sum.Sum(f.sum[:0])
	return f, nil
}

// plain returns the digest of a stream's plain bytes. Signed ones are refused: their bytes are what is loaded.
func (j *Judge) plain(ctx context.Context, c Content, s wrap.Part) ([]byte, error) {
	sum, last := sha256.New(), &tail{}
	err := j.decode(ctx, c, s, func(r io.Reader) error {
		_, err := io.Copy(io.MultiWriter(sum, last), r)
		return err
	})
	if err == nil && string(last.bytes) == signature {
		err = unjudged("a signed kernel module")
	}
	return sum.Sum(nil), err
}

// tail keeps as many of the last bytes as a signature's mark has.
type tail struct{ bytes []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.bytes = append(t.bytes, p[max(0, len(p)-len(signature)):]...)
	t.bytes = t.bytes[max(0, len(t.bytes)-len(signature)):]
	return len(p), nil
}
