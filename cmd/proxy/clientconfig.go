package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/hosts/disk"
)

// Help follows the flags in strata client-config --help.
func (clientConfigCommand) Help() string {
	return `Shows the files by which a host pulls through the proxy HOST: where names lead, whose signatures count, whom to trust.
Each IMAGE is a host, a namespace, a repository or an image whose name is to lead there; without one, the proxy is used by its
own name alone.

    strata client-config --admin http://proxy.example:5001 proxy.example ghcr.io/ublue-os
    strata client-config --key strata.pub --root / proxy.example ghcr.io/ublue-os/bluefin:stable
    strata client-config --key strata.pub --policy policy.json --write files proxy.example ghcr.io/ublue-os

The host's policy.json gets the proxy's key beside the keys that it has, and no weaker.`
}

type clientConfigCommand struct {
	Host   string   `arg:"" help:"Name by which hosts know the proxy: HOST or HOST:PORT."`
	Images []string `arg:"" optional:"" name:"image" help:"Hosts, namespaces, repositories or images in their registries' names."`

	Key         []string `help:"File with a public key that the proxy signs with; may be repeated. --admin knows them, too." placeholder:"FILE"`
	RegistryCA  string   `name:"registry-ca" help:"PEM file of the authority of the proxy's certificate, where hosts don't know it anyway." placeholder:"FILE"`
	Insecure    bool     `help:"The proxy speaks plain HTTP."`
	NoFallback  bool     `help:"Names lead to the proxy alone; else their registry is asked while the proxy is down."`
	DNS         bool     `name:"dns" help:"DNS leads the images' registries to the proxy, which answers as them: no file has to."`
	UpstreamKey []string `help:"Path on the host of a public key that the registries' own images are signed with, so that signatures are asked for where the policy does not yet; may be repeated." placeholder:"PATH"`
	Admit       bool     `help:"Accept what the proxy signed, by its own name, where the policy rejects what it doesn't name."`
	Root        string   `help:"Root of the host whose policy.json, registries.conf, registries.d and daemon.json the files have to fit to; --write's by default." placeholder:"DIR"`
	Policy      string   `help:"The host's policy.json, in place of the root's." placeholder:"FILE"`
	Write       string   `help:"Write the files below this directory, such as / or a build's context, in place of showing them." placeholder:"DIR"`
	Admin       string   `help:"Address of the proxy's admin listener, to ask for its keys, names and authority." env:"STRATA_ADMIN_URL" placeholder:"URL"`
	JSON        bool     `help:"Print a JSON document."`
	loginFlags
}

func (c *clientConfigCommand) Run(ctx context.Context, s *streams) error {
	setup, err := c.setup(ctx)
	if err != nil {
		return err
	}
	config, err := hosts.Make(setup)
	if err != nil {
		return usageError{err}
	}
	if n := c.unproven(); n != "" {
		config.Notes = append(config.Notes, n)
	}
	if c.Write == "" {
		if c.JSON {
			return printJSON(s.out, config)
		}
		return config.Print(s.out)
	}
	if err := disk.Write(c.Write, config.Files); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, config)
	}
	for _, f := range config.Files {
		fmt.Fprintf(s.out, "wrote %s: %s\n", f.Path, f.About)
	}
	for _, n := range config.Notes {
		fmt.Fprintf(s.out, "note: %s\n", n)
	}
	return nil
}

// unproven tells of keys whose way here nobody vouches for, or is "".
func (c *clientConfigCommand) unproven() string {
	u, err := url.Parse(remoteFlags{Admin: c.Admin}.url())
	if c.Admin == "" || err != nil || u.Scheme != "http" || config.Loopback(u.Hostname()) {
		return ""
	}
	return fmt.Sprintf("the keys to trust came from %s over plain HTTP, where who sits between can give others: compare them with "+
		"what strata key public says at the proxy", u.Host)
}

// given are the options by which the proxy is known, for hints.
func (c *clientConfigCommand) given() []string {
	words := []string{}
	if c.Admin != "" {
		words = append(words, "--admin", c.Admin)
	}
	for _, key := range c.Key {
		words = append(words, "--key", key)
	}
	if c.RegistryCA != "" {
		words = append(words, "--registry-ca", c.RegistryCA)
	}
	if c.Insecure {
		words = append(words, "--insecure")
	}
	return words
}

// setup gathers what the proxy, the host and the flags say.
func (c *clientConfigCommand) setup(ctx context.Context) (hosts.Setup, error) {
	setup := hosts.Setup{Name: c.Host, Images: c.Images, NoFallback: c.NoFallback, DNS: c.DNS, Admit: c.Admit,
		UpstreamKeys: c.UpstreamKey, Options: c.given()}
	if c.Admin != "" {
		remote := remoteFlags{Admin: c.Admin, loginFlags: c.loginFlags}
		proxy, err := admin.NewClient(remote.url(), c.loginFlags.client(remote.url())).ClientConfig(ctx)
		if err != nil {
			return setup, remote.explain(err)
		}
		setup.Proxy = proxy
	}
	setup.Proxy.Insecure = setup.Proxy.Insecure || c.Insecure
	for _, name := range c.Key {
		key, err := disk.ReadFile(name)
		if err != nil {
			return setup, err
		}
		setup.Proxy.Keys = append(setup.Proxy.Keys, string(key))
	}
	if c.RegistryCA != "" {
		ca, err := disk.ReadFile(c.RegistryCA)
		if err != nil {
			return setup, err
		}
		setup.Proxy.CA = string(ca)
	}
	root := c.Root
	if root == "" {
		root = c.Write
	}
	var err error
	if root != "" {
		if setup.Existing, err = disk.Existing(root, c.Host); err != nil {
			return setup, err
		}
	}
	if c.Policy != "" {
		setup.Existing.Policy, err = disk.ReadFile(c.Policy)
	}
	return setup, err
}
