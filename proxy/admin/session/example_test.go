package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/strata-oci/strata/proxy/admin/session"
)

// A browser that logged in sends a cookie; what checks logins sees the Authorization header that it stands for.
func Example() {
	sessions := session.New(time.Now)
	answer := httptest.NewRecorder()
	login := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:5001/login", nil)
	if err := sessions.Begin(answer, login, "Bearer a-token-of-the-operators"); err != nil {
		fmt.Println(err)
		return
	}
	next := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:5001/jobs", nil)
	next.AddCookie(answer.Result().Cookies()[0])
	fmt.Println(sessions.Restore(next).Header.Get("Authorization"))
	// Output: Bearer a-token-of-the-operators
}
