package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/strata-oci/strata/proxy/programtest"
)

// TestAsShipped pulls real images through the proxy as "make run" and docker-compose.yml start it: with the working
// directory, the user, the umask, the environment and the relative paths that come of that. Nothing may be worth a warning:
// a package database that cannot be read, for one, is.
func TestAsShipped(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"dpkg", "rpm"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u, tags := corpus(t, kind)
			t.Run("make run", func(t *testing.T) { servesQuietly(t, makeRun(t, u), tags) })
			t.Run("compose", func(t *testing.T) { servesQuietly(t, compose(t, u), tags) })
		})
	}
}

// servesQuietly pulls versions and looks at what was logged meanwhile.
func servesQuietly(t *testing.T, p *proxy, tags []string) {
	t.Helper()
	for _, tag := range tags[:2] {
		if _, err := pullAll(t.Context(), reference(t, p.image("os/image:"+tag))); err != nil {
			t.Error(err)
		}
		p.wantManifest("os/image/manifests/"+tag, 200, "rechunked")
	}
	checkPrivate(t, p.store)
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("strata serve ended with exit code %d", code)
	}
	for _, line := range p.Log.Find(func(l programtest.Line) bool { return l["level"] != "INFO" }) {
		t.Errorf("it logged: %v", line)
	}
}

// checkPrivate looks for what others than the proxy's user could read, in the store and in the directory for temporary
// files.
func checkPrivate(t *testing.T, above string) {
	t.Helper()
	files := 0
	for _, dir := range []string{"strata-data", "strata-work"} {
		err := filepath.WalkDir(filepath.Join(above, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary file
			}
			if err != nil {
				return err
			}
			if files++; info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}

// shippedEnvironment is what the tests need to set: free ports, log lines that they can read, and the upstream in place of
// the world.
func shippedEnvironment(u *upstream) map[string]string {
	return map[string]string{
		"STRATA_LOG_FORMAT": "json", "STRATA_DEFAULT_UPSTREAM": upstreamHost,
		"STRATA_UPSTREAMS_REGISTRY_TEST_URL": u.server.URL, "STRATA_UPSTREAMS_REGISTRY_TEST_INSECURE": "true",
	}
}

func environ(sets ...map[string]string) []string {
	all := map[string]string{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, name+"="+all[name])
	}
	return out
}

// makeRun starts the proxy by the command that "make run" ends with, in an empty working directory.
func makeRun(t *testing.T, u *upstream) *proxy {
	t.Helper()
	bin := filepath.Dir(program)
	commands := strings.TrimSpace(command(t, nil, "make", "--no-print-directory", "-C", "../..", "-n", "run", "BIN="+bin,
		"ARGS=", "VERSION=test"))
	line := commands[strings.LastIndex(commands, "\n")+1:]
	if line != program+" serve" {
		t.Logf("make run ends with %q", line)
	}
	dir := t.TempDir()
	p := &proxy{tb: t, dir: dir, store: dir}
	cmd := exec.Command("sh", "-c", "umask 022; exec "+line)
	cmd.Dir = p.dir
	cmd.Env = environ(shippedEnvironment(u), map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": p.dir, "STRATA_LISTEN": "127.0.0.1:0", "STRATA_ADMIN_LISTEN": "127.0.0.1:0",
	})
	p.Program = programtest.Run(t, cmd)
	return p
}

// image is what Dockerfile says about running it, but for what it is built of.
type containerImage struct {
	env        map[string]string
	dir, user  string
	entrypoint []string
}

func readDockerfile(t *testing.T) containerImage {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, final, _ := strings.Cut(string(text), "\nFROM scratch\n")
	word := func(instruction string) string {
		found := regexp.MustCompile(`(?m)^` + instruction + ` (.*)$`).FindStringSubmatch(final)
		if found == nil {
			t.Fatalf("the Dockerfile has no %s", instruction)
		}
		return found[1]
	}
	image := containerImage{env: map[string]string{}, dir: word("WORKDIR"), user: word("USER")}
	for pair := range strings.FieldsSeq(word("ENV")) {
		name, value, _ := strings.Cut(pair, "=")
		image.env[name] = value
	}
	if err := yaml.Unmarshal([]byte(word("ENTRYPOINT")), &image.entrypoint); err != nil {
		t.Fatal(err)
	}
	return image
}

// composeService is what docker-compose.yml says of a service.
type composeService struct {
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
}

func readCompose(t *testing.T) composeService {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]composeService `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Services["strata"]
}

// compose starts the proxy as the service of docker-compose.yml: in a root file system like that of the image, as its user,
// in its working directory, with the environment of both.
func compose(t *testing.T, u *upstream) *proxy {
	t.Helper()
	needRoot(t)
	image, service := readDockerfile(t), readCompose(t)
	root := imageRoot(t, image, service)
	for name, value := range service.Environment {
		service.Environment[name] = interpolate(value, map[string]string{"STRATA_ADMIN_TOKEN": secretAdmin})
	}
	var uid, gid uint32
	if n, err := fmt.Sscanf(image.user, "%d:%d", &uid, &gid); n != 2 || err != nil {
		t.Fatalf("user %q", image.user)
	}
	args := slices.Concat(image.entrypoint, service.Command)
	p := &proxy{tb: t, dir: root, store: filepath.Join(root, image.dir)}
	cmd := &exec.Cmd{
		Path: args[0], Args: args, Dir: image.dir,
		Env: environ(image.env, service.Environment, shippedEnvironment(u), map[string]string{
			"STRATA_LISTEN": "127.0.0.1:0", "STRATA_ADMIN_LISTEN": "0.0.0.0:0",
		}),
		SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: gid}},
	}
	p.Program = programtest.Run(t, cmd)
	return p
}

// interpolate sets variables as compose does.
func interpolate(text string, variables map[string]string) string {
	return regexp.MustCompile(`\$\{([A-Z0-9_]+)[^}]*\}`).ReplaceAllStringFunc(text, func(found string) string {
		return variables[strings.FieldsFunc(found, func(r rune) bool { return strings.ContainsRune("${}:?-", r) })[0]]
	})
}

// imageRoot makes the root file system of the image, with the files of this directory that the service mounts.
func imageRoot(t *testing.T, image containerImage, service composeService) string {
	t.Helper()
	root, err := os.MkdirTemp("", "strata-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	put := func(name string, b []byte, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, mode); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	put(image.entrypoint[0], b, 0o755)
	for _, volume := range service.Volumes {
		from, to, _ := strings.Cut(volume, ":")
		if !strings.HasPrefix(from, "./") {
			continue
		}
		if b, err = os.ReadFile(filepath.Join("../..", from)); err != nil {
			t.Fatal(err)
		}
		put(strings.TrimSuffix(to, ":ro"), b, 0o644)
	}
	for path, mode := range map[string]os.FileMode{"": 0o755, "tmp": 0o777 | os.ModeSticky, image.dir: 0o700} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	command(t, nil, "chown", image.user, filepath.Join(root, image.dir))
	return root
}
