package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
)

// DeltaQuery asks for how to make a layer of images that the client has.
type DeltaQuery struct {
	Layer digest.Digest
	// Seeds are manifests of these images, at least one and no one twice.
	Seeds []digest.Digest
	// Worth is how many bytes a second of an encoder's work has to save.
	Worth int64
	// Encoders are the programs that the client can run, each "name/version".
	Encoders []string
	// Layers are what the client can compress layers with, by the names that records have; nil where it does not say.
	Layers []string
	// Wait is how long the client waits for the first byte.
	Wait time.Duration
}

// Delta is an open delta. Reading it may fail later, when it is still being made. The caller closes it.
type Delta struct {
	io.ReadCloser
	// Seed is the manifest of the image that it needs.
	Seed digest.Digest
	// Size is its length in bytes, -1 while it is not known.
	Size int64
}

// NoDelta says that a client gets no delta of a layer which it may have.
type NoDelta struct {
	// Reason is one word of docs/protocol.md; empty when there will be one.
	Reason string
	// Message says more, to people.
	Message string
	// RetryAfter is when to ask again for one that is being made.
	RetryAfter time.Duration
}

// Error implements error.
func (e *NoDelta) Error() string {
	if e.Reason == "" {
		return "the delta is being made"
	}
	return "no delta: " + e.Reason + ": " + e.Message
}

// Deltas find and make deltas. It is safe for concurrent use.
type Deltas interface {
	// OpenDelta opens a delta. Who may not have the layer gets the errors of Blobs.StatBlob; *NoDelta says that there is
	// none. The context lasts until Close and ends reads that wait.
	OpenDelta(ctx context.Context, repo name.Repository, q DeltaQuery) (*Delta, error)
	// Formats lists the versions of the format, separated by commas; empty while none are made.
	Formats() string
}

const (
	deltaPath      = "/strata/v1/delta"
	deltaMediaType = "application/vnd.strata.delta.v1"

	headerDeltas   = "Strata-Deltas"
	headerEncoders = "Strata-Encoders"
	headerLayers   = "Strata-Layers"
	headerSeed     = "Strata-Seed"
	// HeaderDeltaRefused says why there is no delta of a layer that is there.
	HeaderDeltaRefused = "Strata-Delta-Refused"

	codeDeltaUnknown = "DELTA_UNKNOWN"

	maxSeeds        = 16
	maxEncoders     = 32
	maxEncoderBytes = 4096
	deltaWait       = 10 * time.Second // of clients that don't say
	maxDeltaWait    = 60 * time.Second
)

// encoderName is a program with its version.
var encoderName = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]{0,31}/[0-9A-Za-z][0-9A-Za-z._+~-]{0,31}$`)

// layerEncoder is what compresses layers.
var layerEncoder = regexp.MustCompile(`^[0-9A-Za-z][ -+\--~]{0,127}$`)

// delta answers with how to make a layer of what the client has.
func (h *handler) delta(w *response, r *http.Request, query url.Values) error {
	if h.Deltas == nil {
		return NotFound("no deltas are made here")
	}
	asked, err := single(query, "repository")
	if err != nil {
		return err
	}
	repo, err := h.repository("", asked, nil)
	if err != nil {
		return err
	}
	info := requestInfo(r)
	info.Repository = repo
	if err := h.loop(r, repo); err != nil {
		return err
	}
	if _, err := h.authorize(w, r, wanted("", asked, repo, nil)); err != nil {
		return err
	}
	q, err := deltaQuery(r, query)
	if err != nil {
		return err
	}
	info.Digest = q.Layer
	info.setReference(name.Reference(q.Layer))
	return h.unlessLedBack(w, r, repo, func(r *http.Request) error { return h.giveDelta(w, r, repo, q) })
}

// giveDelta answers with a delta, or why there is none.
func (h *handler) giveDelta(w *response, r *http.Request, repo name.Repository, q DeltaQuery) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	d, err := h.Deltas.OpenDelta(ctx, repo, q)
	var none *NoDelta
	if errors.As(err, &none) {
		noDelta(w, r, none)
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	info := requestInfo(r)
	info.Origin = MadeHere
	if err := sendDelta(w, d); err != nil {
		return err
	}
	info.ToEnd = true
	return nil
}

// deltaQuery reads what is asked for.
func deltaQuery(r *http.Request, query url.Values) (q DeltaQuery, err error) {
	layer, err := single(query, "layer")
	if err != nil {
		return q, err
	}
	if q.Layer, err = name.ParseDigest(layer); err != nil {
		return q, nameError(err)
	}
	seeds := query["seed"]
	if len(seeds) == 0 || len(seeds) > maxSeeds {
		return q, BadQuery(fmt.Sprintf("%d seeds in one request; it takes 1 to %d", len(seeds), maxSeeds))
	}
	known := map[digest.Digest]bool{}
	for _, text := range seeds {
		seed, err := name.ParseDigest(text)
		if err != nil {
			return q, nameError(err)
		}
		if !known[seed] {
			known[seed] = true
			q.Seeds = append(q.Seeds, seed)
		}
	}
	worth, err := single(query, "worth")
	if err != nil {
		return q, err
	}
	if worth != "" {
		if q.Worth, err = strconv.ParseInt(worth, 10, 64); err != nil || q.Worth < 0 {
			return q, BadQuery("the query parameter worth is no number of bytes")
		}
	}
	if q.Encoders, err = listed(r, headerEncoders, encoderName, "program/version"); err != nil {
		return q, err
	}
	if q.Layers, err = listed(r, headerLayers, layerEncoder, "names of encoders"); err != nil {
		return q, err
	}
	q.Wait = waits(r.Header.Values("Prefer"))
	return q, nil
}

// listed reads the names that a header lists, all of one form.
func listed(r *http.Request, header string, form *regexp.Regexp, told string) ([]string, error) {
	var out []string
	text := strings.Join(r.Header.Values(header), ",")
	if len(text) > maxEncoderBytes {
		return nil, BadQuery(fmt.Sprintf("the header %s has %d bytes; the limit is %d", header, len(text), maxEncoderBytes))
	}
	for e := range strings.SplitSeq(text, ",") {
		if e = strings.TrimSpace(e); e == "" {
			continue
		}
		if !form.MatchString(e) {
			return nil, BadQuery("the header " + header + " lists something else than " + told)
		}
		out = append(out, e)
	}
	if len(out) > maxEncoders {
		return nil, BadQuery(fmt.Sprintf("the header %s lists %d; the limit is %d", header, len(out), maxEncoders))
	}
	return out, nil
}

// waits reads how long a client waits for the first byte. As RFC 7240 has it, what can't be read is ignored.
func waits(headers []string) time.Duration {
	wait := deltaWait
	for _, header := range headers {
		for p := range strings.SplitSeq(header, ",") {
			key, value, _ := strings.Cut(p, "=")
			value, _, _ = strings.Cut(value, ";")
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "respond-async":
				return 0
			case "wait":
				if err == nil && n >= 0 {
					wait = time.Duration(min(n, int(maxDeltaWait/time.Second))) * time.Second
				}
			}
		}
	}
	return wait
}

// noDelta tells a client to come back, or to fetch the layer.
func noDelta(w *response, r *http.Request, none *NoDelta) {
	if none.Reason != "" {
		w.Header().Set(HeaderDeltaRefused, none.Reason)
		WriteError(w, r, &Error{Status: http.StatusNotFound, Code: codeDeltaUnknown, Message: none.Message})
		return
	}
	seconds := max((none.RetryAfter+time.Second-1)/time.Second, 1)
	w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, r, http.StatusAccepted, nil)
}

// sendDelta sends a delta as it comes. What is broken off is visibly so.
func sendDelta(w *response, d *Delta) error {
	head := w.Header()
	head.Set("Content-Type", deltaMediaType)
	head.Set("Content-Disposition", "attachment")
	head.Set("Cache-Control", "no-store")
	head.Set(headerSeed, d.Seed.String())
	if d.Size >= 0 {
		head.Set("Content-Length", strconv.FormatInt(d.Size, 10))
		w.WriteHeader(http.StatusOK)
		n, err := io.Copy(w, d.ReadCloser)
		if err == nil && n != d.Size {
			err = io.ErrUnexpectedEOF
		}
		return deltaError(w, err)
	}
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	buf := make([]byte, 64<<10)
	for {
		n, err := d.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return deltaError(w, werr)
			}
			// a delta grows slowly, and the client works on what it has
			if ferr := control.Flush(); ferr != nil {
				return deltaError(w, ferr)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errBlobRead, err)
		}
	}
}

// deltaError says how far an answer came.
func deltaError(w *response, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("delta broke off after %d bytes: %w", w.bytes, err)
}
