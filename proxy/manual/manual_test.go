package manual

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type program struct {
	Brew struct {
		Strength string `help:"How strong: it's up to you." enum:"mild,strong" default:"mild" short:"s"`
		Milk     bool   `help:"With milk."`
		Secret   string `hidden:""`
		Cups     int    `arg:"" help:"How many."`
	} `cmd:"" help:"Make coffee."`
	Pot struct {
		Rinse struct{} `cmd:"" help:"Rinse the pot: twice."`
		Fill  struct {
			With string `arg:"" enum:"water,milk" help:"What goes in."`
		} `cmd:"" help:"Fill it."`
	} `cmd:"" help:"Look after the pot."`
	Hidden struct{} `cmd:"" hidden:""`
}

func model(t testing.TB) *kong.Application {
	t.Helper()
	k, err := kong.New(&program{}, kong.Name("kettle"),
		kong.Description("A kettle: it makes coffee.\n\n    kettle brew 2\n\nThat is all."))
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

func completion(t *testing.T, shell string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Completion(&out, model(t), shell); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script := completion(t, "bash") + `
try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); COMPREPLY=(); _kettle; echo "${COMPREPLY[*]}"; }
`
	cases := [][2]string{
		{"kettle ''", "brew pot"},
		{"kettle b", "brew"},
		{"kettle --", "--help"},
		{"kettle brew -", "--help --milk --strength"},
		{"kettle brew --strength ''", "mild strong"},
		{"kettle brew --milk --strength st", "strong"},
		{"kettle brew ''", ""},
		{"kettle pot ''", "rinse fill"},
		{"kettle pot fill ''", "water milk"},
		{"kettle pot rinse --", "--help"},
		{"kettle brew pot ''", ""}, // an argument that is called like a command
	}
	want := ""
	for _, c := range cases {
		script += "try " + c[0] + "\n"
		want += c[1] + "\n"
	}
	cmd := exec.CommandContext(t.Context(), bash, "--noprofile", "--norc")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

// The others' scripts are read by their shells where these are, and have every command and flag that is to be seen.
func TestOtherShells(t *testing.T) {
	t.Parallel()
	for shell, words := range map[string][]string{
		"zsh": {"'brew:Make coffee.'", `'rinse:Rinse the pot\: twice.'`, `'--strength:How strong\: it'\''s up to you.'`,
			"'water'"},
		"fish": {"-a brew", "-a rinse", "-l strength -s s -x -a 'mild strong'", `it'\''s up to you.`, "-a water"},
	} {
		script := completion(t, shell)
		for _, word := range words {
			if !strings.Contains(script, word) {
				t.Errorf("%s: no %s in\n%s", shell, word, script)
			}
		}
		if strings.Contains(script, "idden") || strings.Contains(script, "secret") {
			t.Errorf("%s shows what is hidden:\n%s", shell, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), shell, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if err := Completion(&bytes.Buffer{}, model(t), "tcsh"); err == nil {
		t.Error("tcsh is known")
	}
}

// man formats every page without a warning, and all that is in the model is there.
func TestPages(t *testing.T) {
	t.Parallel()
	pages := Pages(model(t), "1.2")
	dir, all := t.TempDir(), ""
	for _, p := range pages {
		all += p.Name + "\n"
		if err := os.WriteFile(filepath.Join(dir, p.Name), []byte(p.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := "kettle.1\nkettle-brew.1\nkettle-pot.1\nkettle-pot-rinse.1\nkettle-pot-fill.1\n"; all != want {
		t.Errorf("pages\n%swant\n%s", all, want)
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("no man")
	}
	for _, p := range pages {
		cmd := exec.CommandContext(t.Context(), man, "--warnings", "-l", filepath.Join(dir, p.Name))
		cmd.Env = append(os.Environ(), "MANPAGER=cat", "MANWIDTH=100", "LC_ALL=C.UTF-8")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Errorf("%s: %v\n%s", p.Name, err, errs.String())
		}
		if p.Name != "kettle-brew.1" {
			continue
		}
		for _, words := range []string{"kettle-brew - Make coffee", "How strong: it's up to you.", "--milk", "CUPS"} {
			if !strings.Contains(out.String(), words) {
				t.Errorf("no %q in\n%s", words, out.String())
			}
		}
	}
}

func ExamplePages() {
	k, err := kong.New(&program{}, kong.Name("kettle"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range Pages(k.Model, "1.2") {
		fmt.Println(p.Name)
	}
	// Output:
	// kettle.1
	// kettle-brew.1
	// kettle-pot.1
	// kettle-pot-rinse.1
	// kettle-pot-fill.1
}
