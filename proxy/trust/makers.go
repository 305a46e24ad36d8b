package trust

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
)

// maker is a sign.Maker with its name.
type maker struct {
	sign.Maker
	fingerprint string
}

// makers are made of the configuration's keys, and as new as their files. They are safe for concurrent use.
type makers struct {
	settings func() SigningSettings
	log      *slog.Logger
	now      func() time.Time

	mu   sync.Mutex
	of   SigningSettings
	file *livefile.File[*maker]
}

// SigningSettings are what the configuration says of signing.
type SigningSettings struct {
	config.Signing
	DefaultUpstream string
	Version         string
}

// get returns what signs; nil where nothing does.
func (m *makers) get() (*maker, error) {
	settings := m.settings()
	if !settings.Enabled() {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil || !reflect.DeepEqual(m.of, settings) {
		file, err := openMaker(settings, livefile.Options{What: "signing keys", Logger: m.log, Now: m.now})
		if err != nil {
			return nil, err
		}
		m.of, m.file = settings, file
	}
	return m.file.Get(), nil
}

// CheckSigning returns an error when the keys cannot be used that a configuration names.
func CheckSigning(s config.Signing) error {
	if !s.Enabled() {
		return nil
	}
	_, err := openMaker(SigningSettings{Signing: s}, livefile.Options{})
	return err
}

// openMaker reads the keys, and watches the files that they come from.
func openMaker(s SigningSettings, o livefile.Options) (*livefile.File[*maker], error) {
	var paths []string
	for _, k := range s.Keys() {
		path := k.KeyFile
		if k.Credential != "" {
			var err error
			if path, err = keys.Credential(k.Credential); err != nil {
				return nil, fmt.Errorf("signing: %w", err)
			}
		}
		for _, p := range []string{path, k.PasswordFile} {
			if p != "" {
				paths = append(paths, p)
			}
		}
	}
	file, err := livefile.New(paths, func(contents [][]byte) (*maker, error) { return parseMaker(s, contents) }, o)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return file, nil
}

// parseMaker makes a maker of the contents of the files, in the order of openMaker.
func parseMaker(s SigningSettings, contents [][]byte) (*maker, error) {
	out := &maker{Maker: sign.Maker{Names: s.Names, DefaultUpstream: s.DefaultUpstream, Version: s.Version}}
	for _, k := range s.Keys() {
		file := []byte(k.Key.Reveal())
		if k.Key.IsZero() {
			file, contents = contents[0], contents[1:]
		}
		if k.PasswordFile != "" {
			contents = contents[1:] // it has changed; ReadPassword knows how it is read
		}
		password, err := k.ReadPassword()
		if err != nil {
			return nil, err
		}
		key, err := keys.ParsePrivate(file, []byte(password.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where(k), err)
		}
		out.Keys = append(out.Keys, key)
	}
	out.fingerprint = out.Fingerprint()
	return out, nil
}

// where says for people where a key comes from.
func where(k config.SigningKey) string {
	switch {
	case k.KeyFile != "":
		return k.KeyFile
	case k.Credential != "":
		return "credential " + k.Credential
	}
	return "key"
}

// PublicKeys reads the keys that images are signed with, the current one first, and returns what hosts check them by.
func PublicKeys(s config.Signing) ([]keys.Public, error) {
	if !s.Enabled() {
		return nil, nil
	}
	file, err := openMaker(SigningSettings{Signing: s}, livefile.Options{})
	if err != nil {
		return nil, err
	}
	var out []keys.Public
	for _, k := range file.Get().Keys {
		out = append(out, k.Public())
	}
	return out, nil
}
