package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/strata-oci/strata/proxy/trust/keys"
)

type keyCommand struct {
	Generate keyGenerateCommand `cmd:"" help:"Make a key: PREFIX.key, encrypted as cosign does, and PREFIX.pub for hosts."`
	Public   keyPublicCommand   `cmd:"" help:"Print the public half of a key."`
}

// passwordVariable holds the password of a signing key; it may be empty.
const passwordVariable = "STRATA_SIGNING_PASSWORD"

type keyGenerateCommand struct {
	Prefix string `arg:"" help:"Where the two files go: PREFIX.key and PREFIX.pub. Neither may be there."`
	Kind   string `help:"Algorithm: ecdsa-p256, ecdsa-p384, ed25519 or rsa-3072. All clients check the first." default:"ecdsa-p256" enum:"ecdsa-p256,ecdsa-p384,ed25519,rsa-3072"`
}

// Help follows the flags in strata key generate --help.
func (keyGenerateCommand) Help() string {
	return `The password is that of STRATA_SIGNING_PASSWORD; empty or unset, whoever can read PREFIX.key can sign.`
}

func (c *keyGenerateCommand) Run(s *streams) error {
	key, err := keys.Generate(keys.Kind(c.Kind))
	if err != nil {
		return err
	}
	password := s.variable(passwordVariable)
	private, err := key.Encrypt([]byte(password))
	if err != nil {
		return err
	}
	if err := createKey(c.Prefix+".key", private, 0o600); err != nil {
		return err
	}
	if err := createKey(c.Prefix+".pub", key.Public().PEM(), 0o644); err != nil {
		return errors.Join(err, os.Remove(c.Prefix+".key"))
	}
	fmt.Fprintf(s.out, "%s.key  signs: for signing.key_file at the proxy; keep it secret\n", c.Prefix)
	fmt.Fprintf(s.out, "%s.pub  checks: for hosts, by strata client-config --key\n", c.Prefix)
	fmt.Fprintf(s.out, "%s, %s\n", key.Public().Kind(), key.Public().ID())
	if password == "" {
		fmt.Fprintf(s.err, "warning: %s.key has no password, and whoever can read it can sign: to have one, remove both "+
			"files, set %s, and make them anew\n", c.Prefix, passwordVariable)
	}
	return nil
}

// createKey writes a new file, and never over one that is there.
func createKey(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: a key is not replaced; choose another prefix or move the file away", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

type keyPublicCommand struct {
	Key string `arg:"" help:"File with a private key: cosign's, or one in PEM."`
}

// Help follows the flags in strata key public --help.
func (keyPublicCommand) Help() string {
	return `The password of an encrypted key is that of STRATA_SIGNING_PASSWORD.`
}

func (c *keyPublicCommand) Run(s *streams) error {
	file, err := keys.ReadFile(c.Key)
	if err != nil {
		return err
	}
	key, err := keys.ParsePrivate(file, []byte(s.variable(passwordVariable)))
	if errors.Is(err, keys.ErrPassword) {
		return fmt.Errorf("%s: %w: it is taken from %s", c.Key, err, passwordVariable)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Key, err)
	}
	_, err = s.out.Write(key.Public().PEM())
	return err
}

// variable returns an environment variable; the last one counts.
func (s *streams) variable(name string) (value string) {
	for _, v := range s.env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			value = rest
		}
	}
	return value
}
