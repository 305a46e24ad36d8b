package rechunktest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Unpack returns the tar stream of a layer blob. A blob that is not exactly one gzip member or one zstd frame is an error.
func Unpack(blob []byte) ([]byte, error) {
	if !isGzip(blob) {
		n, err := ZstdFrame(blob)
		if err != nil {
			return nil, err
		}
		if n != len(blob) {
			return nil, fmt.Errorf("zstd frame of %d bytes in a blob of %d", n, len(blob))
		}
	}
	return UnpackFrames(blob)
}

func isGzip(blob []byte) bool { return bytes.HasPrefix(blob, []byte{0x1f, 0x8b}) }

// UnpackFrames returns the tar stream of a layer blob of one gzip member, or of any number of zstd frames, as zstd:chunked
// has them.
func UnpackFrames(blob []byte) ([]byte, error) {
	if isGzip(blob) {
		return gunzip(blob)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(blob, nil)
}

// gunzip reads one member; bytes.Reader gives single bytes, so that nothing behind the member is read.
func gunzip(blob []byte) ([]byte, error) {
	src := bytes.NewReader(blob)
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	plain, err := io.ReadAll(z)
	if err == nil && src.Len() > 0 {
		err = fmt.Errorf("%d bytes behind the gzip member", src.Len())
	}
	return plain, err
}

// ZstdFrame returns the length of the zstd frame (RFC 8878, section 3.1.1) that b begins with.
func ZstdFrame(b []byte) (int, error) {
	if len(b) < 5 || binary.LittleEndian.Uint32(b) != 0xfd2fb528 {
		return 0, errors.New("no zstd frame")
	}
	descriptor := b[4]
	single := descriptor&0x20 != 0
	at := 5 + []int{0, 1, 2, 4}[descriptor&3]
	if !single {
		at++
	}
	switch size := descriptor >> 6; {
	case size > 0:
		at += 1 << size
	case single:
		at++
	}
	for last := false; !last; {
		if at+3 > len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		header := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		last = header&1 != 0
		at += 3
		switch header >> 1 & 3 {
		case 1:
			at++
		case 3:
			return 0, errors.New("reserved zstd block type")
		default:
			at += header >> 3
		}
	}
	if descriptor&4 != 0 {
		at += 4
	}
	if at > len(b) {
		return 0, io.ErrUnexpectedEOF
	}
	return at, nil
}

// Items reads a tar stream. Names are made clean.
func Items(plain []byte) ([]treetest.Item, error) {
	var out []treetest.Item
	r := tar.NewReader(bytes.NewReader(plain))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		h.Name = path.Clean(h.Name)
		out = append(out, treetest.Item{Header: *h, Body: string(body)})
	}
}
