package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// errUnknown says that a member has no meaning; members adds its name.
var errUnknown = errors.New("is unknown")

// members calls fn with the members of one JSON object, in their order. It refuses members that come twice, and anything
// after the object.
func members(b []byte, fn func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(b))
	start, err := d.Token()
	if err != nil {
		return err
	}
	if start != json.Delim('{') {
		return fmt.Errorf("an object is expected where %.40q is", bytes.TrimSpace(b))
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return fmt.Errorf("a member's name is expected where %.40q is", fmt.Sprint(token))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%.200q comes twice", name)
		}
		seen[name] = true
		if err := fn(name, value); err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more after the object")
	}
	return nil
}

func parseRequirements(b json.RawMessage) ([]Requirement, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, errors.New("the list of requirements is empty")
	}
	if len(raw) > maxRequirements {
		return nil, fmt.Errorf("more than %d requirements", maxRequirements)
	}
	reqs := make([]Requirement, len(raw))
	for i := range raw {
		if err := reqs[i].parse(raw[i]); err != nil {
			return nil, fmt.Errorf("requirement %d: %w", i+1, err)
		}
	}
	return reqs, nil
}

// parse reads one requirement. The type decides which members there may be, wherever it stands.
func (r *Requirement) parse(b json.RawMessage) error {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	allowed, ok := allowedMembers(head.Type)
	if !ok {
		return fmt.Errorf("its type %.60q is unknown", head.Type)
	}
	fields := map[string]any{
		"type": &r.Type, "keyType": &r.KeyType, "keyPath": &r.KeyPath, "keyPaths": &r.KeyPaths, "keyData": &r.KeyData,
		"keyDatas": &r.KeyDatas, "fulcio": &r.Fulcio, "pki": &r.PKI, "rekorPublicKeyPath": &r.RekorPath,
		"rekorPublicKeyPaths": &r.RekorPaths, "rekorPublicKeyData": &r.RekorData, "rekorPublicKeyDatas": &r.RekorDatas,
		"baseLayerIdentity": &r.BaseLayerIdentity,
	}
	err := members(b, func(name string, value json.RawMessage) error {
		if name != "type" && !slices.Contains(allowed, name) {
			return errUnknown
		}
		if name == "signedIdentity" {
			r.Identity = &Identity{}
			return r.Identity.parse(value)
		}
		return json.Unmarshal(value, fields[name])
	})
	if err != nil {
		return err
	}
	if r.Type != head.Type {
		return errors.New("its type is written twice")
	}
	return r.check()
}

func allowedMembers(kind string) ([]string, bool) {
	switch kind {
	case AcceptAnything, Reject:
		return nil, true
	case SignedBy:
		return []string{"keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"}, true
	case SignedBaseLayer:
		return []string{"baseLayerIdentity"}, true
	case SigstoreSigned:
		return []string{"keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki", "rekorPublicKeyPath",
			"rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas", "signedIdentity"}, true
	}
	return nil, false
}

func (r *Requirement) check() error {
	switch r.Type {
	case AcceptAnything, Reject:
		return nil
	case SignedBaseLayer:
		if r.BaseLayerIdentity == nil {
			return errors.New(`"baseLayerIdentity" is missing`)
		}
		if err := (&Identity{}).parse(r.BaseLayerIdentity); err != nil {
			return fmt.Errorf(`"baseLayerIdentity": %w`, err)
		}
		return nil
	}
	if n := count(r.KeyPath != "", r.KeyPaths != nil, r.KeyData != nil, r.KeyDatas != nil, r.Fulcio != nil,
		r.PKI != nil); n != 1 {
		return fmt.Errorf(`exactly one of "keyPath", "keyPaths", "keyData", "keyDatas", "fulcio" and "pki" is needed, not %d`, n)
	}
	switch {
	case r.KeyPaths != nil && len(r.KeyPaths) == 0, r.KeyDatas != nil && len(r.KeyDatas) == 0:
		return errors.New("the list of keys is empty")
	case len(r.KeyPaths) > maxKeys || len(r.KeyDatas) > maxKeys:
		return fmt.Errorf("more than %d keys", maxKeys)
	case r.Type == SignedBy && r.KeyType == "":
		return errors.New(`"keyType" is missing`)
	case r.Type == SignedBy && !slices.Contains(keyTypes, r.KeyType):
		return fmt.Errorf(`"keyType" %.60q is unknown`, r.KeyType)
	case count(r.RekorPath != "", r.RekorPaths != nil, r.RekorData != nil, r.RekorDatas != nil) > 1:
		return errors.New("the log's key is given in more than one way")
	case r.Fulcio != nil && !r.Rekor():
		return errors.New(`"fulcio" needs the log's key`)
	case r.PKI != nil && r.Rekor():
		return errors.New(`"pki" has no log`)
	}
	return r.checkAuthority()
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
