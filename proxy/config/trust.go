package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Signing says what served images are signed with. Without a key nothing is signed.
type Signing struct {
	// KeyFile, Key, Credential, Password and PasswordFile are as in SigningKey.
	KeyFile      string `yaml:"key_file"`
	Key          Secret `yaml:"key"`
	Credential   string `yaml:"credential"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	// Names are those that hosts know this proxy by, as they stand before an image's name: "proxy.example",
	// "proxy.example:5000".
	Names []string `yaml:"names"`
	// Next is a second key for the time of a rotation: both sign.
	Next SigningKey `yaml:"next"`
}

// SigningKey is where a private key comes from: one of the first three.
type SigningKey struct {
	// KeyFile is a file in cosign's format or another PEM.
	KeyFile string `yaml:"key_file"`
	// Key is the contents of such a file.
	Key Secret `yaml:"key"`
	// Credential is the name of a credential of systemd that holds such a file.
	Credential string `yaml:"credential"`
	// Password opens a key that is encrypted, or what PasswordFile holds; a line break at its end does not count.
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Set reports whether there is a key.
func (k SigningKey) Set() bool { return k.KeyFile != "" || !k.Key.IsZero() || k.Credential != "" }

// Enabled reports whether images are signed.
func (s Signing) Enabled() bool { return s.first().Set() }

func (s Signing) first() SigningKey {
	return SigningKey{s.KeyFile, s.Key, s.Credential, s.Password, s.PasswordFile}
}

// Keys lists where the keys come from: one, or two for the time of a rotation.
func (s Signing) Keys() []SigningKey {
	var out []SigningKey
	for _, k := range []SigningKey{s.first(), s.Next} {
		if k.Set() {
			out = append(out, k)
		}
	}
	return out
}

// ReadPassword returns the key's password, which may be empty. It reads the file anew on each call.
func (k SigningKey) ReadPassword() (Secret, error) {
	if k.PasswordFile == "" {
		return k.Password, nil
	}
	text, err := readSecret("password_file", k.PasswordFile)
	return NewSecret(text), err
}

// Verify says whose signature an image needs: that of any of the keys, or of the identity. Without either, none.
type Verify struct {
	// Keys are files of public keys.
	Keys    []string `yaml:"keys"`
	Keyless Keyless  `yaml:"keyless"`
	// SignedAs is the repository that signatures have to name, "host/path", where it is another than the image's own.
	SignedAs string `yaml:"signed_as"`
}

// Keyless is an identity that signs with sigstore's short-lived certificates.
type Keyless struct {
	// Issuer is that of the identity: https://token.actions.githubusercontent.com.
	Issuer string `yaml:"issuer"`
	// Identity is the subject of the certificate, or IdentityPattern a regular expression for all of it.
	Identity        string `yaml:"identity"`
	IdentityPattern string `yaml:"identity_pattern"`
	// TrustedRoot is a file with the certificate authorities and logs to trust: sigstore's trusted_root.json.
	TrustedRoot string `yaml:"trusted_root"`
}

// Enabled reports whether images need a signature.
func (v Verify) Enabled() bool { return len(v.Keys) > 0 || v.Keyless.Set() }

// Set reports whether an identity is configured.
func (k Keyless) Set() bool { return k != Keyless{} }

// Sign says which images are signed, where there is a key.
type Sign string

// The choices for sign.
const (
	SignVerified   Sign = "verified"   // those whose signature was checked
	SignUnverified Sign = "unverified" // those of repositories without verify, too
	SignNever      Sign = "never"      // none
)

// UnmarshalText accepts the name of a choice.
func (s *Sign) UnmarshalText(text []byte) error {
	return oneOf(s, text, SignVerified, SignUnverified, SignNever)
}

const (
	mostNames = 16
	mostKeys  = 16
)

// signingName is a host as it stands before an image's name, with a path where a reverse proxy adds one.
var signingName = regexp.MustCompile(`^[a-z0-9]+(?:[.-][a-z0-9]+)*(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$`)

func (v *validator) signing(s Signing) {
	v.signingKey("signing", s.first())
	v.signingKey("signing.next", s.Next)
	switch {
	case s.Next.Set() && !s.Enabled():
		v.problem("signing.next", "is a second key, and there is no first one: set signing.key_file")
	case len(s.Names) > 0 && !s.Enabled():
		v.problem("signing.names", "is set without a key: set signing.key_file, or remove it")
	case len(s.Names) > mostNames:
		v.problem("signing.names", "has %d names, more than the limit of %d", len(s.Names), mostNames)
	}
	for i, n := range s.Names {
		key := "signing.names[" + strconv.Itoa(i) + "]"
		switch {
		case !signingName.MatchString(n) || len(n) > longestName:
			v.problem(key, "%s is no name of a proxy: write what stands before an image's name, such as proxy.example:5000",
				quote(n))
		case slices.Contains(s.Names[:i], n):
			v.problem(key, "%s is there twice: remove one", quote(n))
		}
	}
}

func (v *validator) signingKey(key string, k SigningKey) {
	sources := 0
	for _, set := range []bool{k.KeyFile != "", !k.Key.IsZero(), k.Credential != ""} {
		if set {
			sources++
		}
	}
	switch {
	case sources > 1:
		v.problem(key, "has more than one of key_file, key and credential: keep one")
	case !k.Password.IsZero() && k.PasswordFile != "":
		v.problem(key+".password_file", "is set together with password: keep one")
	case sources == 0 && (!k.Password.IsZero() || k.PasswordFile != ""):
		v.problem(key+".password_file", "is set without a key: set key_file")
	}
}

func (v *validator) verify(key string, r Verify) {
	if r.Keys != nil && !r.Enabled() {
		v.problem(key+".keys", "is an empty list, and so no image would be checked: name a file with a public key, or remove verify")
	}
	if len(r.Keys) > mostKeys {
		v.problem(key+".keys", "has %d files, more than the limit of %d", len(r.Keys), mostKeys)
	}
	for i, file := range r.Keys {
		if file == "" {
			v.problem(key+".keys["+strconv.Itoa(i)+"]", "is empty: name a file with a public key, such as cosign.pub")
		}
	}
	if r.SignedAs != "" {
		host, path, _ := strings.Cut(r.SignedAs, "/")
		if !isHost(host) || path == "" || strings.ContainsAny(path, ":@ ") || len(r.SignedAs) > longestName {
			v.problem(key+".signed_as", "%s is no repository: write host/path, without a tag", quote(r.SignedAs))
		} else if !r.Enabled() {
			v.problem(key+".signed_as", "is set without keys or keyless: add one")
		}
	}
	if k := r.Keyless; k.Set() {
		v.keyless(key+".keyless", k)
	}
}

func (v *validator) keyless(key string, k Keyless) {
	switch {
	case k.Issuer == "":
		v.problem(key+".issuer",
			"is missing: write whose identities count, such as https://token.actions.githubusercontent.com")
	case k.Identity == "" && k.IdentityPattern == "":
		v.problem(key+".identity", "is missing: write the certificate's subject, such as the URL of a workflow")
	case k.Identity != "" && k.IdentityPattern != "":
		v.problem(key+".identity_pattern", "is set together with identity: keep one")
	case k.TrustedRoot == "":
		v.problem(key+".trusted_root", "is missing: name a file with sigstore's trusted_root.json; nothing is fetched")
	}
	if _, err := regexp.Compile(k.IdentityPattern); err != nil {
		v.problem(key+".identity_pattern", "is no regular expression: %s", fmt.Sprintf("%.200s", err))
	}
}
