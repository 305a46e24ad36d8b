package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testRepo = nametest.Repository("registry.test/org/app")

// fakeHost is a registry and its token service, without a network.
type fakeHost struct {
	registry, token func(*http.Request) (*http.Response, error)
	exchanges       atomic.Int32
}

func (h *fakeHost) RoundTrip(r *http.Request) (*http.Response, error) { return h.registry(r) }
func (h *fakeHost) Exchange(r *http.Request) (*http.Response, error) {
	h.exchanges.Add(1)
	return h.token(r)
}
func (h *fakeHost) MayCarrySecrets(u *url.URL) (*url.URL, error) { return u, nil }
func (h *fakeHost) Timeout() time.Duration                       { return time.Minute }

// answer is a response with a body and header fields.
func answer(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		Request: r}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp
}

// newHost returns a registry that accepts one token, which its token service gives.
func newHost(token string) *fakeHost {
	h := &fakeHost{}
	h.registry = func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			return answer(r, http.StatusUnauthorized, "", "WWW-Authenticate",
				`Bearer realm="https://auth.test/token",service="reg"`), nil
		}
		return answer(r, http.StatusOK, "yes"), nil
	}
	h.token = func(r *http.Request) (*http.Response, error) {
		return answer(r, http.StatusOK, `{"token":"`+token+`","expires_in":300}`), nil
	}
	return h
}

// session returns an anonymous session.
func session(h Host) *Session {
	return NewSession(h, static(authn.AuthConfig{}), testRepo, testRepo.Path(), time.Now, slog.New(slog.DiscardHandler))
}

// ask sends a request through a session and returns the answer's status.
func ask(ctx context.Context, s *Session) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.test/v2/org/app/manifests/latest", nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// Concurrent callers share one exchange, and one who gives up does not take the others along.
func TestNoTokenStampede(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost("token")
		give, hold := h.token, make(chan struct{})
		h.token = func(r *http.Request) (*http.Response, error) {
			<-hold
			return give(r)
		}
		s := session(h)
		first, giveUp := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := ask(first, s)
			gone <- err
		}()
		synctest.Wait()
		const callers = 20
		got := make(chan int, callers)
		for range callers {
			go func() {
				status, err := ask(t.Context(), s)
				if err != nil {
					t.Error(err)
				}
				got <- status
			}()
		}
		synctest.Wait() // everybody waits for the one exchange
		giveUp()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who gave up got %v", err)
		}
		close(hold)
		for range callers {
			if status := <-got; status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
		if n := h.exchanges.Load(); n != 1 {
			t.Errorf("%d exchanges", n)
		}
	})
}

// A panic in an exchange costs those who wait for it an error, and is logged with its stack.
func TestPanicInAnExchange(t *testing.T) {
	t.Parallel()
	h := newHost("token")
	give := h.token
	h.token = func(*http.Request) (*http.Response, error) { panic("boom") }
	var log strings.Builder
	s := NewSession(h, static(authn.AuthConfig{}), testRepo, testRepo.Path(), time.Now,
		slog.New(slog.NewTextHandler(&log, nil)))
	if _, err := ask(t.Context(), s); !errors.Is(err, errPanic) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "session_test.go") {
		t.Errorf("logged: %s", log.String())
	}
	h.token = give
	if status, err := ask(t.Context(), s); status != http.StatusOK || err != nil {
		t.Errorf("after the panic: %d, %v", status, err)
	}
}
