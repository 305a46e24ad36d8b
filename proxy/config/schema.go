package config

import _ "embed"

// Schema is the JSON Schema of the file, for editors and for who makes files by program. What it takes may still be refused
// by Load, which knows how keys depend on each other. It is made of the types of this package; the test says how.
//
//go:embed schema.json
var Schema string
