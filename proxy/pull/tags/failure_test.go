package tags

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/workspace"
)

// What fails for lack of space says what helps, before the names of files; other failures say what they are.
func TestFailureSaysWhatHelps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		room bool
	}{
		{fmt.Errorf("writing the spool: %w", syscall.ENOSPC), true},
		{fmt.Errorf("storing: %w", syscall.EDQUOT), true},
		{fmt.Errorf("spool: %w", workspace.ErrUsedUp), false},
		{errors.New("a checksum is wrong"), false},
	} {
		got := newFailure("sha256:00", nil, time.Now(), c.err).Error
		if strings.HasPrefix(got, noRoom) != c.room || !strings.HasSuffix(got, c.err.Error()) {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}
