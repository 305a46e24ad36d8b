package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// keyTypes are those of signedBy.
var keyTypes = []string{"GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"}

// checkAuthority holds what says whose certificates count against what clients ask of it.
func (r *Requirement) checkAuthority() error {
	if r.Fulcio != nil {
		m, err := authority(r.Fulcio, "caPath", "caData", "oidcIssuer", "subjectEmail")
		switch {
		case err != nil:
			return fmt.Errorf(`"fulcio": %w`, err)
		case count(m["caPath"], m["caData"]) != 1:
			return errors.New(`"fulcio": exactly one of "caPath" and "caData" is needed`)
		case !m["oidcIssuer"] || !m["subjectEmail"]:
			return errors.New(`"fulcio": "oidcIssuer" and "subjectEmail" are needed`)
		}
	}
	if r.PKI == nil {
		return nil
	}
	m, err := authority(r.PKI, "caRootsPath", "caRootsData", "caIntermediatesPath", "caIntermediatesData", "subjectEmail",
		"subjectHostname")
	switch {
	case err != nil:
		return fmt.Errorf(`"pki": %w`, err)
	case count(m["caRootsPath"], m["caRootsData"]) != 1:
		return errors.New(`"pki": exactly one of "caRootsPath" and "caRootsData" is needed`)
	case count(m["caIntermediatesPath"], m["caIntermediatesData"]) > 1:
		return errors.New(`"pki": "caIntermediatesPath" and "caIntermediatesData" exclude each other`)
	case !m["subjectEmail"] && !m["subjectHostname"]:
		return errors.New(`"pki": "subjectEmail" or "subjectHostname" is needed`)
	}
	return nil
}

// authority returns which of the allowed members an object has, with a value that is not empty.
func authority(b json.RawMessage, allowed ...string) (map[string]bool, error) {
	have := map[string]bool{}
	for _, name := range allowed {
		have[name] = false
	}
	err := members(b, func(name string, value json.RawMessage) error {
		if _, ok := have[name]; !ok {
			return errUnknown
		}
		var text string
		if strings.HasSuffix(name, "Data") {
			var data []byte
			err := json.Unmarshal(value, &data)
			have[name] = data != nil
			return err
		}
		err := json.Unmarshal(value, &text)
		have[name] = text != ""
		return err
	})
	return have, err
}
