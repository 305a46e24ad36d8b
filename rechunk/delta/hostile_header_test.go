package delta

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A header that lacks its diff_id, or whose paths are far longer in memory than as they are sent, is refused.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	long := Header{DiffID: digest.FromString("tar")}
	for i := range 2000 {
		long.Sources = append(long.Sources, File{Path: "usr/" + strings.Repeat("x/", 1000) + fmt.Sprintf("%04d", i)})
	}
	for what, c := range map[string]struct {
		h    Header
		want error
	}{
		"no diff_id": {Header{}, ErrInvalid},
		"long paths": {long, ErrLimit},
	} {
		sent, err := c.h.envelope()
		if err != nil {
			t.Fatal(err)
		}
		lim := Limits{Header: 1 << 20}
		if _, err := Open(bytes.NewReader(sent), lim); !errors.Is(err, c.want) {
			t.Errorf("%s, %d bytes: %v", what, len(sent), err)
		}
	}
}
