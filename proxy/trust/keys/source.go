package keys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// credentialsVariable names the directory in which systemd puts a service's credentials.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// ErrNoCredential says that systemd has given no credential of that name.
var ErrNoCredential = errors.New("no such credential")

// ReadFile reads a key file of at most MaxFile bytes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrInvalid, MaxFile)
	}
	return b, nil
}

// Credential returns the path of a credential that systemd passed to this service (LoadCredential=,
// SetCredentialEncrypted=).
func Credential(name string) (string, error) {
	dir := os.Getenv(credentialsVariable)
	if dir == "" {
		return "", fmt.Errorf("%w: %s is not set; add LoadCredential=%s to the service", ErrNoCredential,
			credentialsVariable, name)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return "", fmt.Errorf("%w: %q is no name of one", ErrNoCredential, name)
	}
	return filepath.Join(dir, name), nil
}
