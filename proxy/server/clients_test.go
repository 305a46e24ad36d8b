package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/strata-oci/strata/proxy/config"
)

// emptyRegistry has nothing, and answers only when it may.
func emptyRegistry(t *testing.T, may <-chan struct{}) (host string, asked func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		select {
		case <-may:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// from returns a client that connects from an address of this machine.
func from(t *testing.T, address string) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get returns the status of an answer and when it says to come again.
func get(t *testing.T, c *http.Client, url string) (code int, wait string) {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	if b, _ := io.ReadAll(response.Body); response.StatusCode == 429 && !strings.Contains(string(b), "TOOMANYREQUESTS") {
		t.Errorf("no error document: %s", b)
	}
	return response.StatusCode, response.Header.Get("Retry-After")
}

// Who asks for names at random is answered for a while, and costs the upstream no more than that; others notice nothing.
func TestGuessedNames(t *testing.T) {
	t.Parallel()
	may := make(chan struct{})
	close(may)
	host, asked := emptyRegistry(t, may)
	c := configuration(t)
	c.Upstreams = map[string]config.Upstream{host: insecure(host)}
	c.Limits.MissesPerAddress = config.Rate(30.0 / 3600) // a minute's worth is less than one
	base := "http://" + serve(t, c).Addr().String() + "/v2/" + host
	guess, other := from(t, "127.0.0.1"), from(t, "127.0.0.2")
	codes := map[int]int{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 100 {
		wg.Go(func() {
			code, wait := get(t, guess, fmt.Sprintf("%s/r%d/manifests/latest", base, i))
			mu.Lock()
			defer mu.Unlock()
			if codes[code]++; code == 429 && wait == "" {
				t.Error("no Retry-After")
			}
		})
	}
	wg.Wait()
	if codes[404] != 1 || codes[429] != 99 || asked() > 2 {
		t.Errorf("%v, and the upstream was asked %d times", codes, asked())
	}
	if code, _ := get(t, other, base+"/elsewhere/manifests/latest"); code != 404 {
		t.Errorf("another client gets %d", code)
	}
	if code, _ := get(t, guess, strings.TrimSuffix(base, host)); code != 200 {
		t.Errorf("/v2/ gets %d", code)
	}
}

// Requests that wait for an upstream are so many from one address, and others still get in.
func TestRequestsFromOneAddress(t *testing.T) {
	t.Parallel()
	may := make(chan struct{})
	host, _ := emptyRegistry(t, may)
	c := configuration(t)
	c.Upstreams = map[string]config.Upstream{host: insecure(host)}
	c.Limits.RequestsPerAddress = 5
	base := "http://" + serve(t, c).Addr().String() + "/v2/" + host
	many, other := from(t, "127.0.0.1"), from(t, "127.0.0.2")
	codes := make(chan int, 50)
	for i := range cap(codes) {
		go func() {
			code, _ := get(t, many, fmt.Sprintf("%s/r%d/manifests/latest", base, i))
			codes <- code
		}()
	}
	for range cap(codes) - 5 {
		if code := <-codes; code != 429 {
			t.Errorf("one too many gets %d", code)
		}
	}
	if code, _ := get(t, other, strings.TrimSuffix(base, host)); code != 200 {
		t.Errorf("another client gets %d", code)
	}
	close(may)
	for range 5 {
		if code := <-codes; code != 404 {
			t.Errorf("one that waited gets %d", code)
		}
	}
}

// A body that does not come ends the connection, on both listeners, whoever sends it.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	c := configuration(t)
	c.Limits.HeaderTimeout = config.Duration(300 * time.Millisecond)
	c.Admin.Token = config.NewSecret("0123456789abcdef")
	s := serve(t, c)
	for name, tc := range map[string]struct {
		addr    net.Addr
		request string
	}{
		"client": {s.Addr(), "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1"},
		"operator": {s.AdminAddr(),
			"POST /api/v1/gc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer 0123456789abcdef\r\nContent-Length: 50\r\n\r\n{"},
		"operator, in chunks": {s.AdminAddr(),
			"POST /api/v1/warm HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer 0123456789abcdef\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		"stranger":   {s.AdminAddr(), "POST /api/v1/gc HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"},
		"of a probe": {s.AdminAddr(), "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", tc.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tc.request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil { // the end comes, else the test never does
				t.Error(err)
			}
		})
	}
}

// Requests that are taken back at once do not pile up: the connection that sends them is ended, and others are served
// meanwhile.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue("proxy")
	may := make(chan struct{})
	host, asked := emptyRegistry(t, may)
	c := configuration(t)
	c.TLS.CertFile, c.TLS.KeyFile = put(t, dir, "crt", cert), put(t, dir, "key", key)
	c.Upstreams = map[string]config.Upstream{host: insecure(host)}
	c.Limits.HTTP2Streams = 10
	addr := serve(t, c).Addr().String()
	defer close(may)
	client := a.client("")
	client.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addr, client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reset(t, conn, host)
	if n := asked(); n > 100 {
		t.Errorf("%d requests came through", n)
	}
	if status, _, err := ask(t, "https://"+addr+"/v2/", a.client(""), ""); status != 200 {
		t.Errorf("another client gets %d, %v", status, err)
	}
}

// reset sends requests and takes each back at once, until the connection ends.
func reset(t *testing.T, conn net.Conn, host string) {
	t.Helper()
	w := bufio.NewWriter(conn)
	if _, err := io.WriteString(w, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	frames := http2.NewFramer(w, conn)
	if err := frames.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if f, err := frames.ReadFrame(); err != nil {
				ended <- err
				return
			} else if g, ok := f.(*http2.GoAwayFrame); ok {
				ended <- http2.ConnectionError(g.ErrCode)
				return
			}
		}
	}()
	for id := uint32(1); id < 1_000_000; id += 2 {
		var block strings.Builder
		e := hpack.NewEncoder(&block)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"},
			{":path", fmt.Sprintf("/v2/%s/r%d/manifests/x", host, id)}} {
			_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		err := frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(block.String()),
			EndStream: true, EndHeaders: true})
		if err == nil {
			err = frames.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err == nil {
			err = w.Flush()
		}
		select {
		case <-ended:
			return
		default:
			if err != nil {
				<-ended
				return
			}
		}
	}
	t.Error("the connection went on")
}

func insecure(host string) config.Upstream {
	u := config.DefaultUpstreamSettings()
	u.URL, u.Insecure, u.Attempts = "http://"+host, true, 1
	return u
}
