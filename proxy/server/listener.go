package server

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
)

// listener is an HTTP server with the socket that it answers on.
type listener struct {
	*http.Server
	socket net.Listener
	certs  *certificates // nil: plain HTTP
	limits *atomic.Pointer[connLimits]
}

// Pings find out that the peer of an HTTP/2 connection is gone.
const (
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

func newListener(h http.Handler, c *config.Config, log *slog.Logger) listener {
	return listener{limits: &atomic.Pointer[connLimits]{}, Server: &http.Server{
		Handler: h, ReadHeaderTimeout: time.Duration(c.Limits.HeaderTimeout),
		IdleTimeout:    time.Duration(c.Limits.IdleTimeout),
		MaxHeaderBytes: int(c.Limits.HeaderBytes), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: c.Limits.HTTP2Streams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
			WriteByteTimeout: time.Duration(c.Limits.StallTimeout),
		},
	}}
}

// start sets what a listener begins with; certs are nil for plain HTTP.
func (l *listener) start(certs *livefile.File[*tls.Config], limits *connLimits) {
	if certs != nil {
		l.certs = &certificates{}
		l.TLSConfig = l.certs.config()
	}
	l.use(certs, limits)
}

// use makes further handshakes and connections follow a new configuration.
func (l *listener) use(certs *livefile.File[*tls.Config], limits *connLimits) {
	if l.certs != nil && certs != nil {
		l.certs.file.Store(certs)
	}
	l.limits.Store(limits)
}

// serve answers until the server is closed.
func (l listener) serve() error {
	var err error
	if l.certs != nil {
		err = l.ServeTLS(l.socket, "", "")
	} else {
		err = l.Server.Serve(l.socket)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
