package schema_test

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/strata-oci/strata/proxy/schema"
)

func ExampleMaker() {
	type Cup struct {
		Size int `json:"size"`
	}
	m := &schema.Maker{Tag: "json", Refs: "#/$defs/", Sources: schema.NewSources("example.org", ".")}
	ref := m.Of(reflect.TypeFor[Cup]())
	text, err := json.Marshal(m.Defs["Cup"])
	fmt.Println(ref.Ref, string(text), err)
	// Output: #/$defs/Cup {"type":"object","properties":{"size":{"type":"integer"}},"required":["size"]} <nil>
}
