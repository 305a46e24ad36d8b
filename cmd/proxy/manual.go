package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/manual"
)

type configCommand struct {
	Schema configSchemaCommand `cmd:"" help:"Print the JSON Schema of the configuration, for editors and for programs that make such files."`
}

type configSchemaCommand struct{}

func (configSchemaCommand) Run(s *streams) error {
	_, err := fmt.Fprint(s.out, config.Schema)
	return err
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help follows the flags in strata completion --help.
func (completionCommand) Help() string {
	return `Where the shells look for it:

    strata completion bash > /usr/share/bash-completion/completions/strata
    strata completion zsh > /usr/share/zsh/vendor-completions/_strata
    strata completion fish > /usr/share/fish/vendor_completions.d/strata.fish`
}

func (c *completionCommand) Run(s *streams, k *kong.Context) error {
	return manual.Completion(s.out, k.Model, c.Shell)
}

type manCommand struct {
	Dir string `arg:"" help:"Directory for the pages, such as /usr/local/share/man/man1. It is made if it is not there."`
}

func (c *manCommand) Run(k *kong.Context) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("directory for the manual: %w", err)
	}
	for _, p := range manual.Pages(k.Model, programVersion()) {
		if err := os.WriteFile(filepath.Join(c.Dir, p.Name), []byte(p.Text), 0o644); err != nil {
			return fmt.Errorf("page of the manual: %w", err)
		}
	}
	return nil
}
