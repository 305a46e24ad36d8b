// Package keys reads, makes and uses the keys that images are signed with: cosign's encrypted files, and plain ones in PEM.
// docs/formats.md has the formats. Private keys never show: not in logs, messages or documents.
package keys
