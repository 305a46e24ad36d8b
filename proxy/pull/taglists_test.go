package pull

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestTagListsAreBounded(t *testing.T) {
	t.Parallel()
	var l tagLists
	for i := range 3 * maxTagLists {
		l.put(nametest.Repository("h.test/"+strings.Repeat("x", i+1)), []string{"t"}, time.Unix(0, 0).AddDate(0, 0, i))
	}
	if len(l.lists) != maxTagLists {
		t.Errorf("%d lists", len(l.lists))
	}
	if l.get(nametest.Repository("h.test/"+strings.Repeat("x", 3*maxTagLists)), time.Unix(0, 0)) == nil {
		t.Error("the newest list is gone")
	}
}
