package watch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/strata-oci/strata/proxy/name"
)

// Limits on a notification.
const (
	maxBody   = 1 << 20
	maxEvents = 1000
)

// WebhookOptions are the parts of a webhook. Secret, Hosts and Notify are required.
type WebhookOptions struct {
	// Secret is what the registry has to know. It sends it as "Authorization: Bearer SECRET", or, as "X-Hub-Signature-256:
	// sha256=HEX", the HMAC of the body under it.
	Secret string
	// Hosts returns the upstreams by the host that an event names: by their names and by where they are reached. Events of
	// other hosts are ignored.
	Hosts func() map[string]string
	// Wanted reports whether a tag, of a repository "host/path", is to be kept up to date; nil means all.
	Wanted func(ctx context.Context, repository, tag string) bool
	// Notify has a reference refreshed.
	Notify func(ref string) error
	// Wrong is told of each request with a secret that is wrong, before it is answered. An error is that there were too
	// many, and the answer. Nil: nobody is told.
	Wrong  func(r *http.Request) error
	Logger *slog.Logger
}

// webhook takes notifications in the format of the distribution registry.
type webhook struct{ WebhookOptions }

// NewWebhook returns a handler of notifications, for one path. It answers as soon as it knows what is to be done.
func NewWebhook(o WebhookOptions) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wanted == nil {
		o.Wanted = func(context.Context, string, string) bool { return true }
	}
	if o.Wrong == nil {
		o.Wrong = func(*http.Request) error { return nil }
	}
	return webhook{o}
}

// envelope is what of a notification counts here.
type envelope struct {
	Events []event `json:"events"`
}

// Accepted is the answer to a notification.
type Accepted struct {
	// Events is how many there were.
	Events int `json:"events"`
	// References are the tags that are refreshed because of them.
	References []string `json:"accepted"`
}

type event struct {
	Action string `json:"action"`
	Target struct {
		MediaType  string `json:"mediaType"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
}

// ServeHTTP implements http.Handler.
func (h webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "notifications are posted")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge,
			"the body could not be read, or is longer than the limit of 1048576 bytes")
		return
	}
	if !h.authentic(r, body) {
		h.refuseSender(w, r)
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !strings.HasSuffix(media, "json") {
		refuse(w, http.StatusUnsupportedMediaType,
			"the Content-Type must be application/vnd.docker.distribution.events.v2+json")
		return
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no envelope of events")
		return
	}
	if len(e.Events) > maxEvents {
		refuse(w, http.StatusBadRequest, "the envelope has more than 1000 events, which is the limit")
		return
	}
	accepted, err := h.take(r.Context(), e.Events)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusAccepted, Accepted{Events: len(e.Events), References: accepted})
}

// refuseSender answers who does not know the secret.
func (h webhook) refuseSender(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Hub-Signature-256") != "" {
		if err := h.Wrong(r); err != nil {
			refuse(w, http.StatusTooManyRequests, err.Error())
			return
		}
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="strata notifications"`)
	refuse(w, http.StatusUnauthorized, "the secret is missing or wrong")
}

// authentic checks the secret without telling by its time how much of it is right.
func (h webhook) authentic(r *http.Request, body []byte) bool {
	if h.Secret == "" {
		return false
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(h.Secret))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1
	}
	signature, ok := strings.CutPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256=")
	got, err := hex.DecodeString(signature)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(h.Secret))
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}

// take passes on what the events are about, each reference once.
func (h webhook) take(ctx context.Context, events []event) (accepted []string, err error) {
	seen := map[string]bool{}
	accepted = []string{}
	var problems []error
	for i := range events {
		repository, ref := h.reference(&events[i])
		if ref == "" || seen[ref] {
			continue
		}
		seen[ref] = true
		if !h.Wanted(ctx, repository, events[i].Target.Tag) {
			continue
		}
		if err := h.Notify(ref); err != nil {
			problems = append(problems, err)
			continue
		}
		accepted = append(accepted, ref)
	}
	if len(accepted) > 0 {
		h.Logger.InfoContext(ctx, "registry told of new images", "references", accepted)
	}
	return accepted, errors.Join(problems...)
}

// reference returns what an event says was pushed, or nothing: other actions, layers, untagged manifests, and hosts that
// are no upstream of this proxy.
func (h webhook) reference(e *event) (repository, ref string) {
	host, ok := h.Hosts()[strings.ToLower(e.Request.Host)]
	if !ok || e.Action != "push" || e.Target.Tag == "" || !isManifest(e.Target.MediaType) {
		return "", ""
	}
	repository = host + "/" + e.Target.Repository
	ref = repository + ":" + e.Target.Tag
	if repo, got, err := (name.Parser{}).ParseReference(ref); err != nil || repo.String() != repository ||
		string(got) != e.Target.Tag {
		return "", ""
	}
	return repository, ref
}

func isManifest(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json":
		return true
	}
	return false
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}

func answer(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}
