package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/goccy/go-yaml"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/hosts/policy"
	hostregistries "github.com/strata-oci/strata/proxy/hosts/registries"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// snippet is a fenced block of a document.
type snippet struct {
	page, heading, language, text string
	line                          int
}

func (s snippet) String() string { return fmt.Sprintf("%s:%d", s.page, s.line) }

// first is its first line, which says of what file it is where the language does not.
func (s snippet) first() string {
	line, _, _ := strings.Cut(s.text, "\n")
	return line
}

// snippets returns all fenced blocks of the documentation, in order.
func snippets(t *testing.T) (out []snippet) {
	t.Helper()
	pages := documents(t)
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		out = append(out, snippetsOf(strings.TrimPrefix(page, root+"/"), pages[page])...)
	}
	return out
}

// snippetsOf returns the fenced blocks of a page, in order.
func snippetsOf(page, text string) (out []snippet) {
	var block *snippet
	heading, number := "", 0
	for line := range strings.Lines(text) {
		number++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && block == nil:
			block = &snippet{page: page, heading: heading, language: fence, line: number}
		case isFence:
			out, block = append(out, *block), nil
		case block != nil:
			block.text += line
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return out
}

// Each block of the documents is of a class, and is held to what reads that: commands to their own flags and arguments,
// files to the parsers of those who read them. One that no class knows fails.
func TestSnippets(t *testing.T) {
	t.Parallel()
	classes := map[string]func(*testing.T, snippet){
		"console": checkCommands, "sh": checkCommands, "yaml": checkYAML, "toml": checkTOML, "json": checkJSON,
		"ini":        checkUnit,
		"dockerfile": checkDockerfile, "text": checkOutput, "": checkListing,
	}
	all := snippets(t)
	for _, s := range all {
		check := classes[s.language]
		if check == nil {
			t.Errorf("%s: nobody checks blocks of %q: give it a class here", s, s.language)
			continue
		}
		check(t, s)
	}
	if len(all) < 60 {
		t.Errorf("only %d blocks were found", len(all))
	}
}

// shellCommands returns the commands of a block, each with its words: lines at a prompt, or all lines of a script. Comments,
// redirections and assignments before a command are left out.
func shellCommands(s snippet) (out [][]string) {
	for _, line := range strings.Split(strings.ReplaceAll(s.text, "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		if s.language == "console" {
			var prompt bool
			if line, prompt = cutPrompt(line); !prompt {
				continue // it is what a command prints
			}
		}
		for _, command := range splitPipes(shellWords(line)) {
			for len(command) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(command[0]) {
				command = command[1:]
			}
			if len(command) > 0 {
				out = append(out, command)
			}
		}
	}
	return out
}

func cutPrompt(line string) (string, bool) {
	if rest, ok := strings.CutPrefix(line, "$ "); ok {
		return rest, true
	}
	return strings.CutPrefix(line, "# ")
}

// shellWords splits a line as a shell does, as far as documents go: quotes, and comments.
func shellWords(line string) (words []string) {
	word, open, quote := "", false, rune(0)
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == '#' && !open:
			return words
		case r == ' ' && open:
			words, word, open = append(words, word), "", false
		case r != ' ':
			word, open = word+string(r), true
		}
	}
	return words
}

// splitPipes parts words at pipes, and drops where output goes.
func splitPipes(words []string) [][]string {
	out := [][]string{nil}
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "|", "&&":
			out = append(out, nil)
		case ">", ">>":
			i++
		default:
			out[len(out)-1] = append(out[len(out)-1], words[i])
		}
	}
	return out
}

// others are programs of others that documents name. What they do with Strata is tried in proxy/e2e and proxy/casync.
var others = []string{
	"apt", "bootc", "casync", "desync", "grep", "install", "jq", "openssl", "podman", "skopeo", "systemctl",
}

func checkCommands(t *testing.T, s snippet) {
	t.Helper()
	commands := shellCommands(s)
	if len(commands) == 0 {
		t.Errorf("%s: it has no command", s)
	}
	for _, words := range commands {
		if words[0] == "sudo" {
			words = words[1:]
		}
		var err error
		switch name, args := words[0], words[1:]; {
		case name == "strata":
			err = parses(args)
		case name == "make":
			err = isTarget(args)
		case name == "go":
			err = isOfTree(args)
		case name == "curl":
			err = isPath(args)
		case name == "../shared/corpus/make-corpus" || slices.Contains(others, name):
		default:
			err = fmt.Errorf("nobody knows the program")
		}
		if err != nil {
			t.Errorf("%s: %q: %v", s, words, err)
		}
	}
}

// parses reports what is wrong with a command line of strata: commands, flags, and how many arguments there are.
func parses(args []string) error {
	parser, err := kong.New(&commands{}, kong.Vars{"version": ""}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	return err
}

// isTarget reports whether the Makefile has what make is told to make.
func isTarget(args []string) error {
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(args[0]) + `:`).Match(b) {
		return fmt.Errorf("there is no such target")
	}
	return nil
}

// isOfTree reports whether the packages that a go command names are there, with the flags of programs and the names of
// benchmarks.
func isOfTree(args []string) error {
	program := args[0] == "run"
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case strings.HasPrefix(arg, "./"):
			dir := filepath.Join(root, strings.TrimSuffix(arg, "/..."))
			files, err := filepath.Glob(filepath.Join(dir, "*.go"))
			if err != nil || len(files) == 0 {
				return fmt.Errorf("there is no package %s", arg)
			}
			if program {
				return hasFlags(files, args[i+1:])
			}
			if at := slices.Index(args, "-bench"); at > 0 && args[at+1] != "." {
				return mentionsAll(files, "func "+args[at+1])
			}
		case arg == "-run" || arg == "-bench":
			i++
		default:
			return fmt.Errorf("%s is neither a flag that is known here nor a package", arg)
		}
	}
	return nil
}

func hasFlags(files, args []string) error {
	var flags []string
	for _, arg := range args {
		if name, ok := strings.CutPrefix(arg, "-"); ok {
			flags = append(flags, `"`+name+`"`)
		}
	}
	return mentionsAll(files, flags...)
}

func mentionsAll(files []string, texts ...string) error {
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all.Write(b)
	}
	for _, text := range texts {
		if !strings.Contains(all.String(), text) {
			return fmt.Errorf("there is no %s", text)
		}
	}
	return nil
}

// isPath reports whether the address that is asked for is one of the operators' API with its parameters, or one of the
// registry's.
func isPath(args []string) error {
	u, err := url.Parse(args[len(args)-1])
	if err != nil {
		return err
	}
	if !strings.HasPrefix(u.Path, "/api/") {
		if regexp.MustCompile(`^/v2/[a-z0-9./-]+/(manifests|blobs|referrers)/[^/]+$`).MatchString(u.Path) {
			return nil
		}
		return fmt.Errorf("there is no path %s", u.Path)
	}
	var api struct {
		Paths map[string]map[string]struct{ Parameters []struct{ Name string } }
	}
	if err := json.Unmarshal(admin.OpenAPI, &api); err != nil {
		return err
	}
	for _, operation := range api.Paths[u.Path] {
		for name := range u.Query() {
			if !slices.ContainsFunc(operation.Parameters, func(p struct{ Name string }) bool { return p.Name == name }) {
				return fmt.Errorf("%s has no parameter %s", u.Path, name)
			}
		}
		return nil
	}
	return fmt.Errorf("the API has no path %s", u.Path)
}

// checkYAML holds configurations to the program's own reader, and files of others to theirs.
func checkYAML(t *testing.T, s snippet) {
	t.Helper()
	var err error
	switch s.first() {
	case "# the registry's own configuration":
		var c struct{ Notifications configuration.Notifications }
		err = yaml.UnmarshalWithOptions([]byte(s.text), &c, yaml.Strict())
	case "# alertmanager.yml", "groups:":
		var c map[string]any
		err = yaml.UnmarshalWithOptions([]byte(s.text), &c, yaml.Strict())
		for _, of := range regexp.MustCompile(`https?://\S+`).FindAllString(s.text, -1) {
			if err == nil {
				err = isPath([]string{of})
			}
		}
		if err == nil {
			err = knownMetrics(s.text)
		}
	default:
		file := filepath.Join(t.TempDir(), "config.yml")
		if err = os.WriteFile(file, []byte(s.text), 0o600); err == nil {
			_, _, err = config.Load(file, nil)
		}
	}
	if err != nil {
		t.Errorf("%s: %v", s, err)
	}
}

// knownMetrics reports the metrics in a text that operations.md does not know, which a test holds to those that there are.
func knownMetrics(text string) error {
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		return err
	}
	for _, name := range regexp.MustCompile(`strata_[a-z_]+`).FindAllString(text, -1) {
		if !strings.Contains(string(page), "`"+name) {
			return fmt.Errorf("operations.md has no metric %s", name)
		}
	}
	return nil
}

// checkTOML holds files of hosts to what their programs read: registries.conf, containerd's hosts.toml, storage.conf.
func checkTOML(t *testing.T, s snippet) {
	t.Helper()
	var into any
	switch {
	case strings.Contains(s.text, "[[registry]]"):
		if _, err := hostregistries.Parse("registries.conf", []byte(s.text)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		return
	case strings.Contains(s.text, "[host."):
		into = &struct {
			Server string
			Host   map[string]struct{ Capabilities []string }
		}{}
	default:
		into = &struct {
			Storage struct {
				Options struct {
					PullOptions struct {
						EnablePartialImages string `toml:"enable_partial_images"`
					} `toml:"pull_options"`
				}
			}
		}{}
	}
	meta, err := toml.Decode(s.text, into)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Errorf("%s: %v, unknown: %v", s, err, meta.Undecoded())
	}
}

// checkJSON holds policies and payloads to their readers, and other files to the members that their programs know.
func checkJSON(t *testing.T, s snippet) {
	t.Helper()
	hex := strings.Repeat("0", 64)
	text := strings.ReplaceAll(s.text, "sha256:…", "sha256:"+hex)
	var err error
	switch {
	case strings.Contains(text, `"critical"`):
		_, err = simplesigning.ParsePayload([]byte(strings.TrimSpace(text)))
	case strings.Contains(text, `"type": "sigstoreSigned"`):
		_, err = policy.Parse([]byte(`{"default": [{"type": "reject"}], "transports": {"docker": {` + text + `}}}`))
	default:
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&struct {
			Auths   map[string]struct{ Auth string }
			Mirrors []string `json:"registry-mirrors"` // dockerd's
		}{})
	}
	if err != nil {
		t.Errorf("%s: %v", s, err)
	}
}

// checkUnit asks systemd about services, whose fragments get a program. Quadlets are podman's: proxy/e2e gives it those that
// are shown, by the name of their file.
func checkUnit(t *testing.T, s snippet) {
	t.Helper()
	if strings.HasPrefix(s.first(), "# /etc/containers/systemd/") {
		return
	}
	text := regexp.MustCompile(`/\S+/strata `).ReplaceAllString(s.text, "/bin/true ")
	if !strings.Contains(text, "ExecStart=") {
		text += "ExecStart=/bin/true\n"
	}
	unit := filepath.Join(t.TempDir(), "snippet.service")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // TestUnits says that there is none
	}
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", unit)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: systemd-analyze verify: %v\n%s", s, err, out)
	}
}

func checkDockerfile(t *testing.T, s snippet) {
	t.Helper()
	for line := range strings.Lines(s.text) {
		if !regexp.MustCompile(`^(FROM [a-z0-9./:-]+|COPY \S+ /\S+|RUN .*)\n$`).MatchString(line) {
			t.Errorf("%s: %q is no instruction", s, line)
		}
	}
}

// checkOutput holds what programs print to the texts in their sources.
func checkOutput(t *testing.T, s snippet) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	verbs := regexp.MustCompile(`%[^a-z%]*[a-z]`)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"([^"\\\n]{20,})"`).FindAllStringSubmatch(string(b), -1) {
			printed := regexp.MustCompile(`^` + strings.Join(quoteAll(verbs.Split(m[1], -1)), ".*") + `$`)
			if printed.MatchString(s.first()) {
				return
			}
		}
	}
	t.Errorf("%s: no command prints it", s)
}

func quoteAll(parts []string) []string {
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return parts
}

// checkListing holds the listing of the tree to that: what is in a line without an indent is at the top, and so on.
func checkListing(t *testing.T, s snippet) {
	t.Helper()
	if strings.HasPrefix(s.text, "/v1/") {
		return // of a store, whose keys are those of formats.md and of chunkstore's tests
	}
	parents := [][]string{{root}} // by depth; below a line with two directories stands what is in either
	for line := range strings.Lines(s.text) {
		depth := min((len(line)-len(strings.TrimLeft(line, " ")))/2, len(parents)-1)
		var named []string
		for _, name := range strings.Fields(line) {
			if name = strings.TrimSuffix(name, ","); !strings.HasSuffix(name, "/") {
				break // what it is
			}
			found := false
			for _, parent := range parents[depth] {
				if _, err := os.Stat(filepath.Join(parent, name)); err == nil {
					named, found = append(named, filepath.Join(parent, name)), true
				}
			}
			if !found {
				t.Errorf("%s: there is no %s in %q", s, name, parents[depth])
			}
		}
		if named != nil {
			parents = append(parents[:depth+1], named)
		}
	}
}
