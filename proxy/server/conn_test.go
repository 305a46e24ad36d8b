package server

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/metrics"
)

func boundedServer(t *testing.T, h http.Handler, limits connLimits, refused func(metrics.ConnectionLimit)) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var live atomic.Pointer[connLimits]
	live.Store(&limits)
	s := &httptest.Server{Listener: newBoundedListener(socket.(*net.TCPListener), &live, newSenders(1), refused),
		Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return socket.Addr().String()
}

// A client that takes its time between the parts gets all of a file, though the whole takes many stall times; one that takes
// nothing is cut off.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	content := make([]byte, size)
	_, _ = rand.Read(content)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Length", "16777216")
		_, err = io.Copy(w, f)
		ended <- err
	})
	addr := boundedServer(t, h, connLimits{stall: 2 * time.Second}, nil)
	get := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := get()
	var got bytes.Buffer
	for range 12 { // longer than the stall time in all, and by so little that the kernel takes no more of the file meanwhile
		if _, err := io.CopyN(&got, c, 96<<10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // a slow client, not a wait for something
	}
	if _, err := io.Copy(&got, c); err != nil || !bytes.HasSuffix(got.Bytes(), content) {
		t.Errorf("a slow client got %d bytes: %v", got.Len(), err)
	}
	_ = c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c = get()
	defer c.Close()
	if err := <-ended; err == nil {
		t.Error("a client that takes nothing is served for ever")
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for want, limits := range map[metrics.ConnectionLimit]connLimits{
		metrics.AllConnections:     {total: 2, stall: time.Minute},
		metrics.AddressConnections: {perAddress: 2, stall: time.Minute},
	} {
		refused := make(chan metrics.ConnectionLimit, 10)
		addr := boundedServer(t, http.NotFoundHandler(), limits, func(l metrics.ConnectionLimit) { refused <- l })
		ask := func() (net.Conn, error) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return c, err
			}
			_, err = io.ReadFull(c, make([]byte, 12))
			return c, err
		}
		first, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		third, err := ask()
		if err == nil || <-refused != want {
			t.Errorf("%s: a third connection was served", want)
		}
		_, _, _ = third.Close(), second.Close(), first.Close()
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Limits.BodyBytes, c.Limits.HeaderTimeout, c.Limits.RequestTimeout = 10, config.Duration(200*time.Millisecond),
		config.Duration(100*time.Millisecond)
	s := httptest.NewServer(bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			w.WriteHeader(http.StatusGatewayTimeout)
		}
	}), func() *config.Config { return c }))
	defer s.Close()
	slow, never := io.Pipe()
	defer never.Close()
	for _, tc := range []struct {
		path   string
		body   io.Reader
		status int
	}{
		{"/", nil, 200}, {"/", bytes.NewReader(make([]byte, 10)), 200}, {"/", bytes.NewReader(make([]byte, 11)), 413},
		{"/", io.MultiReader(bytes.NewReader(make([]byte, 11))), 413}, {"/", slow, 413}, {"/slow", nil, 504},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+tc.path, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client().Do(r)
		if err != nil {
			t.Errorf("%s %v: %v", tc.path, tc.body, err)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != tc.status {
			t.Errorf("%s %T: %d, want %d", tc.path, tc.body, response.StatusCode, tc.status)
		}
	}
}
