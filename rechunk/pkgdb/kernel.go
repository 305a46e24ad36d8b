package pkgdb

import "strings"

const (
	idKernel = "kernel"
	// idKernelExtra are modules built outside of the kernel's tree, which also change without the kernel.
	idKernelExtra = "kernel/extra"
	idInitramfs   = "initramfs"
)

// kernelOf returns which of the kernel's components a path belongs to, or "". Paths that hold a version belong to the kernel
// whoever ships them: all of them move with it.
func kernelOf(p string) string {
	if rest, ok := strings.CutPrefix(p, "usr/"); ok {
		if rest, ok := strings.CutPrefix(rest, "lib/ostree-boot/"); ok {
			return bootFile(rest)
		}
		p = rest
	} else if rest, ok := strings.CutPrefix(p, "boot/"); ok {
		return bootFile(rest)
	} else if !strings.Contains(p, "/") {
		return rootLink(p)
	}
	rest, ok := strings.CutPrefix(p, "lib/modules/")
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "/") // the version
	top, _, deeper := strings.Cut(rest, "/")
	switch {
	case top == "extra" || top == "updates" || top == "weak-updates":
		return idKernelExtra
	case !deeper && (strings.HasPrefix(top, "initramfs") || strings.HasPrefix(top, "initrd")):
		return idInitramfs
	}
	return idKernel
}

// bootFile returns the component of a path below /boot. Boot loaders and their configuration are none of the kernel's.
func bootFile(p string) string {
	if rest, ok := strings.CutPrefix(p, "EFI/Linux/"); ok && strings.HasSuffix(rest, ".efi") {
		return idInitramfs // a unified kernel image holds one
	}
	name := p[strings.LastIndexByte(p, '/')+1:]
	for _, prefix := range []string{"initramfs-", "initrd.img-", "initrd-", "initrd.img"} {
		if strings.HasPrefix(name, prefix) {
			return idInitramfs
		}
	}
	for _, prefix := range []string{"vmlinuz", "vmlinux", ".vmlinuz", "System.map", "config-", "symvers-", "Image-"} {
		if strings.HasPrefix(name, prefix) {
			return idKernel
		}
	}
	return ""
}

// rootLink returns the component of Debian's links in the root directory.
func rootLink(name string) string {
	switch name {
	case "vmlinuz", "vmlinuz.old":
		return idKernel
	case "initrd.img", "initrd.img.old":
		return idInitramfs
	}
	return ""
}
