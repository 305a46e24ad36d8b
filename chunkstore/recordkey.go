package chunkstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Limits of records.
const (
	// MaxKeyBytes is the longest record key.
	MaxKeyBytes = 4096
	// MaxRecordBytes is the longest record.
	MaxRecordBytes = 8 << 20

	maxKindBytes = 32
	maxPlain     = 135 // bytes of an escaped key that is a name by itself
	maxHead      = 70  // bytes of a longer one that begin its name
	nameMark     = "__"
	plainSuffix  = nameMark + "key"
	hexUpTo      = "0123456789abcdef"
)

// escapeKey spells any string with [a-z0-9._-]; see docs/store.md. Different keys have different spellings, also
// when case is ignored.
func escapeKey(key string) string {
	var b strings.Builder
	b.Grow(len(key) + len(key)/2)
	for i := range len(key) {
		if c := key[i]; keepsItself(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('_')
			b.WriteByte(hexUpTo[c>>4])
			b.WriteByte(hexUpTo[c&15])
		}
	}
	return b.String()
}

func keepsItself(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-'
}

var errSpelling = errors.New("not an escaped key")

// unescapeKey is the inverse of escapeKey. It accepts no other spelling of a key.
func unescapeKey(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if keepsItself(c) {
			b = append(b, c)
			continue
		}
		if c != '_' || i+2 >= len(s) || !isHex(s[i+1:i+3]) {
			return "", errSpelling
		}
		v, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil || keepsItself(v[0]) {
			return "", errSpelling
		}
		b = append(b, v[0])
		i += 2
	}
	return string(b), nil
}

// recordFile is where a record lies and what stands before it there.
type recordFile struct {
	path   string
	header string // empty, or the escaped key and a newline
}

// fileOf finds a record's place.
func fileOf(kind, key string) (recordFile, error) {
	if err := checkKind(kind); err != nil {
		return recordFile{}, err
	}
	if key == "" || len(key) > MaxKeyBytes {
		return recordFile{}, reject(fmt.Sprintf("record key %q", clip(key)), ErrInvalid,
			fmt.Sprintf("want 1 to %d bytes, got %d", MaxKeyBytes, len(key)))
	}
	dir, escaped := recordsDir+"/"+kind+"/", escapeKey(key)
	if len(escaped) <= maxPlain {
		return recordFile{path: dir + escaped + plainSuffix}, nil
	}
	sum := sha256.Sum256([]byte(key))
	return recordFile{
		path:   dir + headOf(escaped) + nameMark + hex.EncodeToString(sum[:]),
		header: escaped + "\n",
	}, nil
}

// headOf cuts the beginning of an escaped key, between two escapes.
func headOf(escaped string) string {
	head := escaped[:maxHead]
	if i := strings.LastIndexByte(head, '_'); i > maxHead-3 {
		head = head[:i]
	}
	return head
}

// namesBegin returns what the names of all records have in common at their beginning whose keys begin with prefix. Of a
// prefix that is longer than the beginning of a long name tells, this is less than the prefix says.
func namesBegin(prefix string) string {
	escaped := escapeKey(prefix)
	if len(escaped) <= maxHead {
		return escaped
	}
	return headOf(escaped)
}

func checkKind(kind string) error {
	ok := len(kind) > 0 && len(kind) <= maxKindBytes && kind[0] >= 'a' && kind[0] <= 'z'
	for i := range len(kind) {
		ok = ok && keepsItself(kind[i]) && kind[i] != '.'
	}
	if !ok {
		return reject(fmt.Sprintf("record kind %q", clip(kind)), ErrInvalid,
			fmt.Sprintf("want a lower-case letter and then letters, digits and '-', %d bytes at most", maxKindBytes))
	}
	return nil
}

// parseName reads a record's name. long names do not tell their key; foreign ones are no records.
func parseName(name string) (key string, long, ok bool) {
	if escaped, plain := strings.CutSuffix(name, plainSuffix); plain {
		key, err := unescapeKey(escaped)
		return key, false, err == nil && key != "" && len(escaped) <= maxPlain
	}
	i := strings.LastIndex(name, nameMark)
	if i < 0 || len(name)-i-len(nameMark) != sha256.Size*2 || !isHex(name[i+len(nameMark):]) {
		return "", false, false
	}
	_, err := unescapeKey(name[:i])
	return "", true, err == nil
}
