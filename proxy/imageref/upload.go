package imageref

import (
	"errors"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errUploadEnded is what an HTTP transport gets that goes on reading a request's body after the request.
var errUploadEnded = errors.New("upload has ended")

// upload is a blob on its way to a registry, a layer in the library's terms. The library may ask for its content more than
// once, and the HTTP transport may still read a body when its request is over: only the newest body reads from src.
type upload struct {
	desc  ocispec.Descriptor
	hash  v1.Hash
	start int64 // where src stood, if it is an io.Seeker

	mu     sync.Mutex
	src    io.Reader
	newest *uploadBody
	bodies int
}

var _ v1.Layer = (*upload)(nil)

func newUpload(desc ocispec.Descriptor, src io.Reader) (*upload, error) {
	hash, err := v1.NewHash(desc.Digest.String())
	if err != nil {
		return nil, err
	}
	u := &upload{desc: desc, hash: hash, src: src, start: -1}
	if s, ok := src.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil { // an *os.File may be a pipe
			u.start = at
		}
	}
	return u, nil
}

// Digest implements v1.Layer.
func (u *upload) Digest() (v1.Hash, error) { return u.hash, nil }

// DiffID implements v1.Layer; uploading needs none.
func (u *upload) DiffID() (v1.Hash, error) { return v1.Hash{}, errors.New("diff_id is not known") }

// Size implements v1.Layer.
func (u *upload) Size() (int64, error) { return u.desc.Size, nil }

// MediaType implements v1.Layer. It is not the blob's own, because the library skips what that calls not distributable.
func (u *upload) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Uncompressed implements v1.Layer; uploading needs none.
func (u *upload) Uncompressed() (io.ReadCloser, error) {
	return nil, errors.New("content is only known compressed")
}

// Compressed implements v1.Layer: the content from its start.
func (u *upload) Compressed() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bodies++; u.bodies > 1 {
		s, ok := u.src.(io.Seeker)
		if !ok || u.start < 0 {
			return nil, errors.New("upload was interrupted, and its content can't be read twice; try again")
		}
		if _, err := s.Seek(u.start, io.SeekStart); err != nil {
			return nil, err
		}
	}
	u.newest = &uploadBody{upload: u, content: verified(u.src, u.desc.Digest, u.desc.Size)}
	return u.newest, nil
}

// end waits for a read that is going on and lets no other begin.
func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.newest = nil
}

// uploadBody is the body of one request.
type uploadBody struct {
	upload  *upload
	content io.Reader
}

func (b *uploadBody) Read(p []byte) (int, error) {
	b.upload.mu.Lock()
	defer b.upload.mu.Unlock()
	if b.upload.newest != b {
		return 0, errUploadEnded
	}
	return b.content.Read(p)
}

func (b *uploadBody) Close() error { return nil }
