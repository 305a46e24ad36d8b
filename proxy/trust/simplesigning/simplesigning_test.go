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
	found, err := simplesigning.Read(first.Manifest.Bytes)
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
		found, err := simplesigning.Read(b)
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
