package scan

import (
	"hash"
	"io"

	"github.com/strata-oci/strata/rechunk/tree"
)

// meter counts, bounds and optionally hashes a stream. It remembers the error that ended it, which a tar reader on top would
// translate.
type meter struct {
	r     io.Reader
	n     int64
	limit int64
	sum   hash.Hash
	err   error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	// One byte more than the limit tells a longer stream from one that just fits.
	n, err := m.r.Read(p[:min(int64(len(p)), m.limit-m.n+1)])
	m.n += int64(n)
	if m.n > m.limit {
		m.err = tree.OverLimit("uncompressed layer bytes", m.limit)
		return 0, m.err
	}
	if m.sum != nil {
		m.sum.Write(p[:n])
	}
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
