package keylesstest

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// issue makes the authority for those who ask over HTTP.
func (a *Authority) issue(tb testing.TB) {
	tb.Helper()
	top, topKey, err := ca.GenerateRootCa()
	if err != nil {
		tb.Fatal(err)
	}
	middle, key, err := ca.GenerateFulcioIntermediate(top, topKey)
	if err != nil {
		tb.Fatal(err)
	}
	a.issuers = key
	a.issuing = &root.FulcioCertificateAuthority{Root: top, Intermediates: []*x509.Certificate{middle},
		ValidityPeriodStart: time.Now().Add(-5 * time.Hour), ValidityPeriodEnd: time.Now().Add(5 * time.Hour)}
}

// public is a key that only its owner signs with.
type public struct {
	crypto.Signer
	key crypto.PublicKey
}

// Public is all that there is.
func (p public) Public() crypto.PublicKey { return p.key }

// Token is what the identity shows the authority: one of OpenID Connect that nobody signed.
func (a Authority) Token(tb testing.TB) string {
	tb.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"alg": "RS256"}) + "." + part(map[string]any{
		"iss": a.Issuer, "sub": a.Identity, "email": a.Identity, "email_verified": true, "aud": "sigstore",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}) + "." + part("unsigned")
}

// Serve starts what cosign signs with, at one URL: an authority that gives everybody the identity's certificate (Fulcio's
// API, version 1), and a log that takes every entry (Rekor's).
func (a Authority) Serve(tb testing.TB) (url string) {
	tb.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, contentType string, b []byte, err error) {
		if err != nil {
			tb.Errorf("the tests' sigstore: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(b)
	}
	mux.HandleFunc("POST /api/v1/signingCert", func(w http.ResponseWriter, r *http.Request) {
		b, err := a.certify(r)
		answer(w, "application/pem-certificate-chain", b, err)
	})
	mux.HandleFunc("POST /api/v1/log/entries", func(w http.ResponseWriter, r *http.Request) {
		b, err := a.log(r)
		answer(w, "application/json", b, err)
	})
	s := httptest.NewServer(mux)
	tb.Cleanup(s.Close)
	return s.URL
}

// certify is the certificate of a public key, and its authorities, in PEM.
func (a Authority) certify(r *http.Request) ([]byte, error) {
	var request struct {
		PublicKey struct {
			Content []byte `json:"content"`
		} `json:"publicKey"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	content := request.PublicKey.Content
	if block, _ := pem.Decode(content); block != nil {
		content = block.Bytes
	}
	key, err := x509.ParsePKIXPublicKey(content)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	leaf, err := ca.GenerateLeafCert(a.Identity, a.Issuer, time.Now().Add(-time.Minute), public{key: key},
		a.issuing.Intermediates[0], a.issuers)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	var out []byte
	for _, c := range append([]*x509.Certificate{leaf}, append(a.issuing.Intermediates, a.issuing.Root)...) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out, nil
}

// log takes an entry and proves it.
func (a Authority) log(r *http.Request) ([]byte, error) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		return nil, fmt.Errorf("reading an entry: %w", err)
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, fmt.Errorf("the entry: %w", err)
	}
	body, err := types.CanonicalizeEntry(context.Background(), entry)
	if err != nil {
		return nil, fmt.Errorf("the entry: %w", err)
	}
	id, err := a.sigstore.RekorLogID()
	if err != nil {
		return nil, fmt.Errorf("the log: %w", err)
	}
	proof, err := a.sigstore.GetInclusionProof(body)
	if err != nil {
		return nil, fmt.Errorf("the proof: %w", err)
	}
	now, index := time.Now().Unix(), *proof.LogIndex
	promise, err := a.sigstore.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: now, LogIndex: index, LogID: id,
	})
	if err != nil {
		return nil, fmt.Errorf("the promise: %w", err)
	}
	uuid := hex.EncodeToString(make([]byte, 32))
	return json.Marshal(map[string]any{uuid: map[string]any{
		"body": body, "integratedTime": now, "logID": id, "logIndex": index,
		"verification": map[string]any{"signedEntryTimestamp": promise, "inclusionProof": proof},
	}})
}
