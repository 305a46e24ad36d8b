package server

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
)

// activated returns the sockets that systemd opened for this process, by who they are for, "clients" and "operators":
// their FileDescriptorName (systemd.socket(5), sd_listen_fds(3)). It is empty where there are none. Each replaces the
// address of the configuration.
func activated() (map[string]*net.TCPListener, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	}
	out := map[string]*net.TCPListener{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		socket, tcp := given[name][0].(*net.TCPListener)
		switch {
		case name != "clients" && name != "operators":
			err = fmt.Errorf("is called %q: write FileDescriptorName=clients or FileDescriptorName=operators in its unit", name)
		case len(given[name]) > 1:
			err = fmt.Errorf("%s are %d sockets: give each its own unit, and one address", name, len(given[name]))
		case !tcp:
			err = fmt.Errorf("%s is no TCP socket: ListenStream= takes an address and a port", name)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("socket of systemd %w", err), closeAll(given))
		}
		out[name] = socket
	}
	return out, nil
}

func closeAll(given map[string][]net.Listener) error {
	var err error
	for _, sockets := range given {
		for _, socket := range sockets {
			err = errors.Join(err, socket.Close())
		}
	}
	return err
}
