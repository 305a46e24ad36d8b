// client copies an image as skopeo, podman and bootc do, with their library: by a policy, through mirrors, and, with --sign,
// signed with a key in cosign's format. It is a module of its own, so that its dependencies are nobody else's.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	policyFile := flag.String("policy", "", "policy.json")
	registriesD := flag.String("registries.d", "", "directory")
	registriesConf := flag.String("registries-conf", "", "file")
	signKey := flag.String("sign", "", "private key; the destination is a registry then")
	passphrase := flag.String("passphrase", "", "of the key")
	identity := flag.String("identity", "", "name to sign")
	flag.Parse()
	sys := &types.SystemContext{
		RegistriesDirPath: *registriesD, SystemRegistriesConfPath: *registriesConf, SignaturePolicyPath: *policyFile,
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
	}
	policy, err := signature.DefaultPolicy(sys)
	if err != nil {
		return err
	}
	allowed, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	defer allowed.Destroy()
	from, err := docker.ParseReference("//" + flag.Arg(0))
	if err != nil {
		return err
	}
	options := copy.Options{SourceCtx: sys, DestinationCtx: sys, RemoveSignatures: *signKey == ""}
	var to types.ImageReference
	if *signKey != "" {
		if to, err = docker.ParseReference("//" + flag.Arg(1)); err != nil {
			return err
		}
		options.SignBySigstorePrivateKeyFile = *signKey
		options.SignSigstorePrivateKeyPassphrase = []byte(*passphrase)
		options.PreserveDigests = true
		if options.SignIdentity, err = reference.ParseNormalizedNamed(*identity); err != nil {
			return err
		}
	} else if to, err = directory.NewReference(flag.Arg(1)); err != nil {
		return err
	}
	_, err = copy.Image(ctx, allowed, to, from, &options)
	return err
}
