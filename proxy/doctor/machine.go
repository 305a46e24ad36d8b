package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strata-oci/strata/proxy/hosts/inroot"
	"github.com/strata-oci/strata/rechunk/image"
)

// On returns the options for the host whose files lie below a directory, "/" for this one. The caller calls done in the end.
func On(ctx context.Context, dir string) (o Options, done func() error, err error) {
	o = Options{Dir: dir, Platform: image.PlatformString(image.HostPlatform()),
		Free: func() (int64, error) { return free(dir) }}
	if filepath.Clean(dir) == "/" {
		o.Root, o.Bootc = os.DirFS("/"), bootcVersion(ctx)
		return o, func() error { return nil }, nil
	}
	// Links of another host's root lead to its own files, and not to this one's.
	root, err := inroot.Open(dir)
	if err != nil {
		return o, nil, err
	}
	o.Root = root
	return o, root.Close, nil
}

// bootcVersion asks the program; "" when there is none.
func bootcVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bootc", "--version").Output()
	if err != nil || len(out) > 200 {
		return ""
	}
	return versionGrammar.FindString(strings.TrimSpace(string(out)))
}

// free is what is free where images go: bootc's repository, else podman's storage, else the root itself.
func free(dir string) (int64, error) {
	var last error
	for _, below := range []string{"sysroot/ostree/repo", "sysroot", "var/lib/containers", "var", "."} {
		var s unix.Statfs_t
		if last = unix.Statfs(filepath.Join(dir, below), &s); last == nil {
			return int64(s.Bavail) * s.Bsize, nil
		}
	}
	return 0, fmt.Errorf("statfs %s: %w", dir, last)
}
