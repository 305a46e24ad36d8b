package keyless_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/keyless/keylesstest"
)

// object is a JSON object, or what stands for one in a bundle.
type object = map[string]any

// entry is the log's in a bundle's material.
func entry(material object) object { return material["tlogEntries"].([]any)[0].(object) }

// form is a change of a good bundle.
type form struct {
	change func(b, material object)
	passes bool
}

func forms() map[string]form {
	return map[string]form{
		"as it is": {func(object, object) {}, true},
		"0.1 with a chain": {func(b, m object) {
			b["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
			m["x509CertificateChain"] = object{"certificates": []any{m["certificate"]}}
			delete(m, "certificate")
		}, true},
		// Nothing then says when the entry was taken, which the certificate's hours are held to.
		"a proof alone": {func(_, m object) { delete(entry(m), "inclusionPromise") }, false},
		// What the log has signed says which kind it is.
		"an entry that says another kind": {func(_, m object) {
			entry(m)["kindVersion"] = object{"kind": "intoto", "version": "0.0.9"}
		}, true},
		"0.3 with a chain": {func(_, m object) {
			m["x509CertificateChain"] = object{"certificates": []any{m["certificate"]}}
			delete(m, "certificate")
		}, false},
		"an empty chain": {func(_, m object) {
			m["x509CertificateChain"] = object{"certificates": []any{}}
			delete(m, "certificate")
		}, false},
		"no material":         {func(b, _ object) { delete(b, "verificationMaterial") }, false},
		"no entry of the log": {func(_, m object) { delete(m, "tlogEntries") }, false},
		"neither promise nor proof": {func(_, m object) {
			delete(entry(m), "inclusionPromise")
			delete(entry(m), "inclusionProof")
		}, false},
		"a proof without a checkpoint": {func(_, m object) {
			entry(m)["inclusionProof"] = object{"logIndex": "0", "rootHash": "AAAA", "treeSize": "1", "hashes": []any{}}
		}, false},
		"a proof with a broken checkpoint": {func(_, m object) {
			entry(m)["inclusionProof"] = object{"logIndex": "0", "rootHash": "AAAA", "treeSize": "1", "hashes": []any{},
				"checkpoint": object{"envelope": "x"}}
		}, false},
		"an entry without a body":      {func(_, m object) { delete(entry(m), "canonicalizedBody") }, false},
		"an entry from before the log": {func(_, m object) { entry(m)["integratedTime"] = "-1" }, false},
		"a timestamp in its place": {func(_, m object) {
			delete(m, "tlogEntries")
			m["timestampVerificationData"] = object{"rfc3161Timestamps": []any{object{"signedTimestamp": "MAA="}}}
		}, false},
		"two entries, one of them broken": {func(_, m object) {
			m["tlogEntries"] = append(m["tlogEntries"].([]any), object{"logIndex": "7"})
		}, false},
		"many entries": {func(_, m object) {
			for range 100 {
				m["tlogEntries"] = append(m["tlogEntries"].([]any), entry(m))
			}
		}, false},
	}
}

// What a bundle may look like that says the same: certificate or chain, by the versions that know each. What is missing of
// the log's word, or stands in its place, is refused.
func TestBundleForms(t *testing.T) {
	t.Parallel()
	a := keylesstest.New(t)
	v := verifier(t, a, keyless.Rules{Issuer: issuer, Identity: identity})
	good := a.Bundle(t, image, keylesstest.Valid)
	for what, c := range forms() {
		var b object
		if err := json.Unmarshal(good, &b); err != nil {
			t.Fatal(err)
		}
		c.change(b, b["verificationMaterial"].(object))
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if err = v.Bundle(raw, image); c.passes != (err == nil) || err != nil && !errors.Is(err, keyless.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
