package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Listen opens both sockets, so that an address that is taken shows before anything runs.
func (s *Server) Listen(ctx context.Context) error {
	given, err := activated()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		*listener
		who, address, key, variable string
	}{
		{&s.clients, "clients", s.cfg.Listen, "listen", "STRATA_LISTEN"},
		{&s.operator, "operators", s.cfg.Admin.Listen, "admin.listen", "STRATA_ADMIN_LISTEN"},
	} {
		socket := given[l.who]
		if socket == nil {
			var lc net.ListenConfig
			opened, err := lc.Listen(ctx, "tcp", l.address)
			if err != nil {
				return fmt.Errorf("listening for %s on %s: %w: %s", l.who, l.address, rootCause(err),
					advice(err, l.key, l.variable))
			}
			socket = opened.(*net.TCPListener) // it was asked for "tcp"
		}
		l.socket = newBoundedListener(socket, l.limits, s.senders, s.metrics.ConnectionRefused)
	}
	return nil
}

// rootCause leaves out what an error of package net repeats of the address.
func rootCause(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}

func advice(err error, key, variable string) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Sprintf("does another strata serve run? %s (%s) sets another address", key, variable)
	}
	return fmt.Sprintf("%s (%s) sets the address", key, variable)
}

// Addr is the address of the listener for clients, once Listen has returned.
func (s *Server) Addr() net.Addr { return s.clients.socket.Addr() }

// AdminAddr is the address of the listener for operators, once Listen has returned.
func (s *Server) AdminAddr() net.Addr { return s.operator.socket.Addr() }

// Serve answers until ctx ends, which is no error, or a listener fails. Then running requests finish, as long as the
// configuration allows, jobs stop and all parts are closed.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	for _, l := range []listener{s.clients, s.operator} {
		go func() { failed <- l.serve() }()
	}
	background, end := context.WithCancel(ctx)
	var tended sync.WaitGroup
	tended.Go(func() { s.upkeep.Run(background, s.schedule) })
	tended.Go(func() { s.rooms.Remember(background, s.log) })
	s.notify(daemon.SdNotifyReady)
	running, err := 2, error(nil)
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	end()
	tended.Wait()
	s.notify(daemon.SdNotifyStopping)
	s.log.Info("shutting down")
	err = errors.Join(err, s.Close())
	for range running {
		err = errors.Join(err, <-failed)
	}
	return err
}

// Close ends all parts: requests first, then the work behind them.
func (s *Server) Close() error {
	s.closing.Store(true)
	ctx, stop := context.WithTimeout(context.Background(), time.Duration(s.live.Load().ShutdownTimeout))
	defer stop()
	if s.watcher != nil {
		s.watcher.Close()
	}
	// Jobs stop first: requests that wait for one would hold the server up. Downloads go on for those who read them.
	s.rooms.Work.Stop()
	err := s.clients.Shutdown(ctx)
	if err != nil {
		_ = s.clients.Server.Close()
		err = fmt.Errorf("requests were cut off after shutdown_timeout: %w", err)
	}
	_ = s.operator.Server.Close()
	for _, l := range []listener{s.clients, s.operator} {
		if l.socket != nil {
			_ = l.socket.Close() // a server that never served does not know its socket
		}
	}
	s.admin.Close()
	err = errors.Join(err, s.rooms.Close(ctx))
	s.upstream.Close()
	s.endTraces(ctx)
	return errors.Join(err, s.release())
}

// notify tells systemd, when it started the process with Type=notify.
func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "systemd could not be told", slog.String("state", state),
			slog.Any("error", err))
	}
}
