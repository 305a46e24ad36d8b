package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServeContentSize checks that content of another size than it should have is not served at all.
func TestServeContentSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{-1, 0, 9, 11} {
		for _, ranges := range []string{"", "bytes=1-2"} {
			recorder := httptest.NewRecorder()
			w := &response{ResponseWriter: recorder}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Range", ranges)
			if err := serveContent(w, r, strings.NewReader("0123456789"), size); err == nil {
				t.Errorf("10 bytes for %d, range %q: no error", size, ranges)
			}
			if w.status != 0 || recorder.Body.Len() != 0 {
				t.Errorf("10 bytes for %d, range %q: status %d, %d bytes sent", size, ranges, w.status, recorder.Body.Len())
			}
		}
	}
}
