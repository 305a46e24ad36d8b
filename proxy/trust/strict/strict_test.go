package strict_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/strict"
)

type inner struct {
	_    struct{} `strict:"closed"`
	Kind string   `json:"kind" strict:"required"`
}

type document struct {
	One  inner            `json:"one"`
	Many []inner          `json:"many"`
	By   map[string]inner `json:"by"`
	May  *inner           `json:"may"`
	Any  json.RawMessage  `json:"any"`
	Data []byte           `json:"data"`
}

func Example() {
	var claim struct {
		_      struct{} `strict:"closed"`
		Digest string   `json:"digest" strict:"required"`
	}
	fmt.Println(strict.Unmarshal([]byte(`{"digest":"a"}`), &claim), claim.Digest)
	fmt.Println(strict.Unmarshal([]byte(`{"digest":"a","Digest":"b"}`), &claim))
	fmt.Println(strict.Unmarshal([]byte(`{}`), &claim))
	// Output:
	// <nil> a
	// invalid JSON: "Digest" is unknown
	// invalid JSON: "digest" is missing
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"one":{"kind":"a"},"many":[{"kind":"b"}],"by":{"x":{"kind":"c"}},"may":null,"any":{"X":[1,{"x":2}]},"data":"aGk=","other":{"ONE":1}}`: "",
		` {} `:                          "",
		`{"one":{"kind":"a"},"one":{}}`: `"one" comes twice`,
		`{"one":{"kind":"a"},"\u006fne":{"kind":"b"}}`: `"one" comes twice`,
		`{"any":{"x":1,"x":2}}`:                        `"x" comes twice`,
		`{"other":[{"x":[{"y":1,"y":1}]}]}`:            `"y" comes twice`,
		`{"One":{"kind":"a"}}`:                         "in other letters",
		`{"\u017fome":1}`:                              "",
		`{"one":{"KIND":"a"}}`:                         "is unknown",
		`{"one":{"kind":"a","more":1}}`:                `"more" is unknown`,
		`{"one":{}}`:                                   `"kind" is missing`,
		`{"many":[{"kind":"a"},{}]}`:                   `"kind" is missing`,
		`{"by":{"x":{}}}`:                              `"kind" is missing`,
		`{"may":{}}`:                                   `"kind" is missing`,
		`{} {}`:                                        "more after",
		`{}x`:                                          "more after",
		`[]`:                                           "cannot unmarshal",
		``:                                             "EOF",
		`{"one":`:                                      "EOF",
		"{\"other\":\"\xff\"}":                         "UTF-8",
		strings.Repeat("[", 100):                       "nests deeper",
		`{"other":` + strings.Repeat(`{"a":`, 100): "nests deeper",
	} {
		var v document
		err := strict.Unmarshal([]byte(doc), &v)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) ||
			!errors.Is(err, strict.ErrInvalid)) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

// What passes is read by encoding/json, has one member of each name and nothing behind it.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"one":{"kind":"a"},"many":[{"kind":"b"}]}`))
	f.Add([]byte(`{"one":{"kind":"a"},"One":{"kind":"b"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v document
		if err := strict.Unmarshal(b, &v); err != nil {
			return
		}
		var again document
		plain, _ := json.Marshal(v)
		if !json.Valid(b) || json.Unmarshal(plain, &again) != nil {
			t.Fatalf("%q passed", b)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(b, &members); err != nil {
			return // null
		}
		if one, ok := members["one"]; ok && string(one) != "null" && v.One.Kind == "" &&
			!strings.Contains(string(one), `""`) &&
			!strings.Contains(string(one), "null") {
			t.Fatalf("%q was read as %+v", b, v)
		}
	})
}
