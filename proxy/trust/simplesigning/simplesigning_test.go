package simplesigning_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

var subject = digest.FromString("an image")

func TestTags(t *testing.T) {
	t.Parallel()
	if d, ok := simplesigning.Subject(simplesigning.Tag(subject)); d != subject || !ok {
		t.Error(d, ok)
	}
	for _, tag := range []string{"", "latest", "sha256-12.sig", "sha256-" + subject.Encoded(), "sha256-" +
		subject.Encoded() + ".att"} {
		if d, ok := simplesigning.Subject(tag); ok {
			t.Errorf("%s is of %s", tag, d)
		}
	}
}

// What is built is read again, each payload is there once, and the bytes depend on nothing else.
func TestImage(t *testing.T) {
	t.Parallel()
	payload, err := simplesigning.Payload(simplesigning.Claim{Reference: "registry.test/os", Digest: subject})
	if err != nil {
		t.Fatal(err)
	}
	signed := []simplesigning.Signed{{payload, []byte("1")}, {payload, []byte("2")}}
	first, err := simplesigning.Build(signed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := simplesigning.Build(signed)
	if err != nil || again.Manifest.Digest != first.Manifest.Digest || len(first.Payloads) != 1 {
		t.Errorf("%v, %v, %d payloads", again.Manifest.Digest, err, len(first.Payloads))
	}
	found, _, err := simplesigning.Read(first.Manifest.Bytes)
	if err != nil || len(found) != 2 || string(found[0].Bytes) != "1" || string(found[1].Bytes) != "2" ||
		found[0].Payload != digest.FromBytes(payload) {
		t.Errorf("%v, %v", found, err)
	}
}

func TestPayloadsRefused(t *testing.T) {
	t.Parallel()
	good, err := simplesigning.Payload(simplesigning.Claim{Reference: "registry.test/os", Digest: subject})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{
		"empty": "", "list": "[]", "nothing": "{}",
		"long":        string(good) + strings.Repeat(" ", simplesigning.MaxPayload),
		"other type":  strings.Replace(string(good), "cosign container", "atomic container", 1),
		"no digest":   strings.Replace(string(good), subject.String(), "latest", 1),
		"no identity": strings.Replace(string(good), "registry.test/os", "", 1),
	} {
		if c, err := simplesigning.ParsePayload([]byte(b)); !errors.Is(err, simplesigning.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	withOptional := strings.Replace(string(good), `"optional":null`, `"optional":{"creator":"x","timestamp":1}`, 1)
	if _, err := simplesigning.ParsePayload([]byte(withOptional)); err != nil {
		t.Error(err)
	}
}

// A payload is read as clients read it: what could be taken for two things is none.
func TestPayloadIsReadStrictly(t *testing.T) {
	t.Parallel()
	p, err := simplesigning.Payload(simplesigning.Claim{Reference: "registry.test/os", Digest: subject})
	if err != nil {
		t.Fatal(err)
	}
	good := string(p)
	other := digest.FromString("other").String()
	for what, change := range map[string][2]string{
		"critical twice": {`"optional"`, `"critical":{},"optional"`},
		"digest twice": {`"docker-manifest-digest"`, `"docker-manifest-digest":"` + other +
			`","docker-manifest-digest"`},
		"digest twice, escaped": {`"docker-manifest-digest"`, `"docker\u002dmanifest-digest":"` + other +
			`","docker-manifest-digest"`},
		"digest in capitals": {`"docker-manifest-digest"`, `"Docker-Manifest-Digest":"` + other +
			`","docker-manifest-digest"`},
		"only in capitals":      {`"critical"`, `"Critical"`},
		"type in capitals":      {`"type"`, `"TYPE"`},
		"identity twice":        {`"identity"`, `"identity":{"docker-reference":"registry.test/other"},"identity"`},
		"unknown at the top":    {`"optional"`, `"more":1,"optional"`},
		"unknown in critical":   {`"type"`, `"more":1,"type"`},
		"unknown in image":      {`"docker-manifest-digest"`, `"more":1,"docker-manifest-digest"`},
		"unknown in identity":   {`"docker-reference"`, `"more":1,"docker-reference"`},
		"no reference":          {`"docker-reference":"registry.test/os"`, ``},
		"no digest":             {`"docker-manifest-digest":"` + subject.String() + `"`, ``},
		"no type":               {`,"type":"cosign container image signature"`, ``},
		"no optional":           {`,"optional":null`, ``},
		"null for critical":     {`"critical":{`, `"critical":null,"x":{`},
		"null for the digest":   {`"` + subject.String() + `"`, `null`},
		"a list for the digest": {`"` + subject.String() + `"`, `["` + subject.String() + `"]`},
		"optional is a text":    {`"optional":null`, `"optional":"x"`},
		"optional twice":        {`"optional":null`, `"optional":{"a":1,"a":2}`},
		"creator is a number":   {`"optional":null`, `"optional":{"creator":1}`},
		"half a second":         {`"optional":null`, `"optional":{"timestamp":1.5}`},
		"another one behind":    {`"optional":null}`, `"optional":null}` + good},
		"text behind":           {`"optional":null}`, `"optional":null}x`},
		"another one before":    {`{"critical"`, good + `{"critical"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing changed in %s", what, good)
		}
		if c, err := simplesigning.ParsePayload([]byte(bad)); !errors.Is(err, simplesigning.ErrInvalid) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
	}
	for _, change := range []string{
		`{"creator":"x","timestamp":1700000000,"Creator":1,"any":{"deep":[1]}}`, `{}`, `{"timestamp":1e3}`, ` null `,
	} {
		if _, err := simplesigning.ParsePayload([]byte(strings.Replace(good, "null", change, 1) + "\n")); err != nil {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	good, err := simplesigning.Payload(simplesigning.Claim{Reference: "registry.test/os", Digest: subject})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := simplesigning.ParsePayload(b)
		if err == nil && (c.Reference == "" || c.Digest.Validate() != nil) {
			t.Errorf("%q says %v", b, c)
		}
	})
}

func FuzzRead(f *testing.F) {
	built, err := simplesigning.Build([]simplesigning.Signed{{[]byte("payload"), []byte("signature")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(built.Manifest.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		found, _, err := simplesigning.Read(b)
		if len(found) > simplesigning.MaxSignatures || err != nil && found != nil {
			t.Error(len(found), err)
		}
	})
}

// A payload says which image has a name. It is what cosign signs.
func ExamplePayload() {
	payload, err := simplesigning.Payload(simplesigning.Claim{
		Reference: "ghcr.io/ublue-os/bluefin", Digest: digest.FromString("a manifest"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	claim, err := simplesigning.ParsePayload(payload)
	fmt.Println(len(payload), claim.Reference, claim.Digest == digest.FromString("a manifest"), err)
	// Output: 240 ghcr.io/ublue-os/bluefin true <nil>
}
