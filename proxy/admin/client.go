package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits on what a client reads, in bytes.
const (
	maxDocument = 64 << 20
	maxLine     = 1 << 20
)

// Client asks a running proxy's admin listener. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client for a listener's base URL, such as "http://127.0.0.1:5001". A nil http.Client is the default
// one. Warm takes as long as its work does, so the http.Client should have no Timeout; bound calls with their context.
func NewClient(baseURL string, client *http.Client) *Client {
	if client == nil {
		client = http.DefaultClient
	}
	return &Client{base: strings.TrimRight(baseURL, "/"), http: client}
}

// APIError is an answer that is an error.
type APIError struct {
	StatusCode int
	Message    string
	// Busy says that the same work is under way.
	Busy bool
	// From is who answered.
	From Answerer
}

// Answerer is who answered a request to the operators' listener.
type Answerer int

// Who answers.
const (
	// Operators is the listener that was meant.
	Operators Answerer = iota
	// Registry speaks the distribution specification: most likely the listener for clients.
	Registry
	// TLSListener speaks HTTPS where HTTP was spoken.
	TLSListener
	// Stranger is something else.
	Stranger
)

// Error returns the message and the status.
func (e *APIError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Message, e.StatusCode) }

// Is makes errors.Is(err, operate.ErrNotFound) true for a 404, and likewise upkeep.ErrBusy.
func (e *APIError) Is(target error) bool {
	return target == operate.ErrNotFound && e.StatusCode == http.StatusNotFound || target == upkeep.ErrBusy && e.Busy
}

// Status returns the totals.
func (c *Client) Status(ctx context.Context) (report operate.StatusReport, err error) {
	err = c.get(ctx, "/api/v1/status", &report)
	return report, err
}

// Repositories returns all repositories, sorted by name.
func (c *Client) Repositories(ctx context.Context) ([]operate.RepositoryReport, error) {
	var list RepositoryList
	err := c.get(ctx, "/api/v1/repositories", &list)
	return list.Repositories, err
}

// Repository returns one repository, "host/path". The error is operate.ErrNotFound if the proxy has none of that name.
func (c *Client) Repository(ctx context.Context, name string) (*operate.RepositoryDetail, error) {
	var detail operate.RepositoryDetail
	path := (&url.URL{Path: "/api/v1/repositories/" + name}).EscapedPath()
	if err := c.get(ctx, path, &detail); err != nil {
		return nil, err
	}
	return &detail, nil
}

// Jobs returns the running jobs and those that ended lately.
func (c *Client) Jobs(ctx context.Context) ([]operate.JobReport, error) {
	var list JobList
	err := c.get(ctx, "/api/v1/jobs", &list)
	return list.Jobs, err
}

// Deltas returns what is made for other Stratas, the latest first.
func (c *Client) Deltas(ctx context.Context) (report operate.DeltaReport, err error) {
	err = c.get(ctx, "/api/v1/deltas", &report)
	return report, err
}

// Ready returns nil when the proxy can serve, else an error that says what is wrong.
func (c *Client) Ready(ctx context.Context) error {
	return c.get(ctx, "/readyz", new(ReadyReport))
}

// Enqueue has the proxy warm references after the call returned. More than a request may name go in several. With an error
// it returns the jobs of those that were taken.
func (c *Client) Enqueue(ctx context.Context, references []string) ([]WarmJob, error) {
	var out []WarmJob
	for _, portion := range portions(references) {
		accepted, err := c.enqueue(ctx, portion)
		if err != nil {
			return out, err
		}
		out = append(out, accepted...)
	}
	return out, nil
}

// portions are the references of one request each. None at all are left for the proxy to refuse.
func portions(references []string) [][]string {
	if len(references) <= maxReferences {
		return [][]string{references}
	}
	return slices.Collect(slices.Chunk(references, maxReferences))
}

func (c *Client) enqueue(ctx context.Context, references []string) ([]WarmJob, error) {
	response, err := c.post(ctx, "/api/v1/warm", WarmRequest{references})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var accepted WarmAccepted
	err = decode(response, &accepted)
	return accepted.Jobs, err
}

// Warm has the proxy warm references and waits for it. It calls progress, which may be nil, for each event in turn. Its
// error joins those of the references that failed. More than a request may name go in several, one after another; one
// that fails as a whole is the last.
func (c *Client) Warm(ctx context.Context, references []string, progress func(operate.WarmEvent)) error {
	var failed []error
	for _, portion := range portions(references) {
		of, err := c.warm(ctx, portion, progress)
		if failed = append(failed, of...); err != nil {
			failed = append(failed, err)
			break
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return errors.Join(failed...)
}

// warm has one request's references warmed. failed are the errors of single ones, err is the request's.
func (c *Client) warm(ctx context.Context, references []string, progress func(operate.WarmEvent)) (failed []error,
	err error) {
	response, err := c.post(ctx, "/api/v1/warm?wait=1", WarmRequest{references})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	left := len(references)
	for lines.Scan() {
		var e operate.WarmEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return failed, fmt.Errorf("the proxy sent a line that is no event: %w", err)
		}
		if progress != nil {
			progress(e)
		}
		if !e.Final() {
			continue
		}
		left--
		if e.State != jobs.Done {
			failed = append(failed, fmt.Errorf("%s: %s", e.Reference, e.Error))
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return failed, fmt.Errorf("the proxy's answer broke off: %w", err)
	case left > 0:
		return failed, fmt.Errorf("the proxy's answer ended with %s to go: %w", legible.Count(left, "reference"),
			io.ErrUnexpectedEOF)
	}
	return failed, nil
}

func (c *Client) get(ctx context.Context, path string, document any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	response, err := c.do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return decode(response, document)
}

func (c *Client) post(ctx context.Context, path string, document any) (*http.Response, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request)
}

// do returns an answer that is no error. The caller closes its body.
func (c *Client) do(request *http.Request) (*http.Response, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxLine)) // what there is of it tells who answers
	var document errorDocument
	if json.Unmarshal(body, &document) == nil && document.Error != "" {
		return nil, &APIError{StatusCode: response.StatusCode, Message: document.Error, Busy: document.Busy}
	}
	from := Stranger
	switch {
	case response.Header.Get("Docker-Distribution-Api-Version") != "":
		from = Registry
	case response.StatusCode == http.StatusBadRequest && bytes.Contains(body, []byte("HTTP request to an HTTPS server")):
		from = TLSListener // the words of net/http
	}
	return nil, &APIError{StatusCode: response.StatusCode, Message: "this is no answer of strata's admin listener",
		From: from}
}

func decode(response *http.Response, document any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("the proxy's answer broke off: %w", err)
	case len(body) > maxDocument:
		return fmt.Errorf("the proxy's answer is longer than the limit of %d bytes", maxDocument)
	}
	if err := json.Unmarshal(body, document); err != nil {
		return fmt.Errorf("the proxy's answer is no document of the API: %w", err)
	}
	return nil
}
