package hosts

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// authorities reads certificates in PEM form and writes them anew: nothing of what stands around and beside them gets into
// files and scripts. No certificates are "".
func authorities(ca string) (string, error) {
	var out bytes.Buffer
	rest := []byte(ca)
	for n := 0; len(bytes.TrimSpace(rest)) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || n >= maxKeys || len(ca) > maxPEM {
			return "", errors.New("the authority is no file of certificates in PEM form")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("the authority's certificate cannot be read: %w", err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return "", fmt.Errorf("the authority's certificate cannot be written: %w", err)
		}
	}
	return out.String(), nil
}
