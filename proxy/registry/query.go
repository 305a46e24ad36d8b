package registry

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// BadQuery is for parameters that are not understood.
func BadQuery(message string) error {
	return &Error{Status: http.StatusBadRequest, Code: codeUnsupported, Message: message}
}

// single returns the value of a parameter that may be given once, or nothing.
func single(query url.Values, key string) (string, error) {
	if len(query[key]) > 1 {
		return "", BadQuery("the query parameter " + key + " is given twice")
	}
	return query.Get(key), nil
}

// onlyTakes refuses a query with other parameters than those that a path takes, with one of them twice, or with one
// that says nothing: a mistake in one of ours gets somebody another image than the one that was meant. Every path takes
// ns. Paths of other people's specifications ignore what they don't know, since clients may send what is newer than we
// are.
func onlyTakes(query url.Values, keys ...string) error {
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if key != "ns" && !slices.Contains(keys, key) {
			return BadQuery(fmt.Sprintf("the query parameter %.40q is not known here: this path takes %s", key,
				strings.Join(append(slices.Clone(keys), "ns"), ", ")))
		}
	}
	for _, key := range keys {
		value, err := single(query, key)
		if err != nil {
			return err
		}
		if value == "" && query.Has(key) {
			return BadQuery("the query parameter " + key + " is empty: give it a value or leave it out")
		}
	}
	return nil
}
