package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// takes holds requests to the parameters that a path takes in its query, each once but for those that end in "…": what is
// misspelt would be answered as if it had not been asked. Values that are no text say yes with 1.
func takes(next http.HandlerFunc, keys ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err == nil {
			err = checkQuery(query, keys)
		}
		if err != nil {
			writeError(w, http.StatusBadRequest, "the query of "+r.URL.Path+": "+err.Error())
			return
		}
		next(w, r)
	}
}

// flags are parameters that are 1 or left out.
var flags = []string{"contents", "wait", "no-fallback"}

func checkQuery(query url.Values, keys []string) error {
	for _, key := range slices.Sorted(maps.Keys(query)) {
		many := slices.Contains(keys, key+"…")
		switch values := query[key]; {
		case !many && !slices.Contains(keys, key):
			return fmt.Errorf("%.40q is no parameter here: %s", key, offered(keys))
		case !many && len(values) > 1:
			return fmt.Errorf("%s is given twice: give it once", key)
		case slices.Contains(flags, key) && values[0] != "1":
			return fmt.Errorf("%s is %.40q: write 1 or leave it out", key, values[0])
		}
	}
	return nil
}

// offered says what a path takes.
func offered(keys []string) string {
	if len(keys) == 0 {
		return "there is none"
	}
	return "there is " + strings.ReplaceAll(strings.Join(keys, ", "), "…", "")
}
