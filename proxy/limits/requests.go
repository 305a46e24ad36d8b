package limits

import "net/http"

// Requests holds the requests that clients have under way at once to what bounds returns: in all and from one address.
// refuse answers further ones.
func Requests(next http.Handler, bounds func() (all, each int), refuse http.HandlerFunc) http.Handler {
	var running Counter
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all, each := bounds()
		who := Address(r.RemoteAddr)
		if running.Enter(who, all, each) != "" {
			refuse(w, r)
			return
		}
		defer running.Leave(who)
		next.ServeHTTP(w, r)
	})
}
