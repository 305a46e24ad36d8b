package pkgdb

import (
	"path"
	"strings"
)

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
	} else if strings.HasPrefix(p, "efi/") {
		return bootFile(p)
	} else if !strings.Contains(p, "/") {
		return rootLink(p)
	}
	rest, ok := strings.CutPrefix(p, "lib/modules/")
	if !ok {
		return besideModules(p)
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

// besideModules returns the component of a path below /usr whose directory has a kernel's version in its name: device trees,
// as Debian (linux-image-VERSION) and Ubuntu (firmware/VERSION/device-tree) have them.
func besideModules(p string) string {
	rest, ok := strings.CutPrefix(p, "lib/")
	if !ok {
		return ""
	}
	if strings.HasPrefix(rest, "linux-image-") {
		return idKernel
	}
	if rest, ok = strings.CutPrefix(rest, "firmware/"); ok {
		if _, below, _ := strings.Cut(rest, "/"); below == "device-tree" || strings.HasPrefix(below, "device-tree/") {
			return idKernel
		}
	}
	return ""
}

// bootFile returns the component of a path below /boot. Boot loaders and their configuration are none of the kernel's.
func bootFile(p string) string {
	p = strings.TrimPrefix(p, "efi/") // a partition that is mounted there
	if rest, ok := strings.CutPrefix(p, "EFI/Linux/"); ok && strings.HasSuffix(rest, ".efi") {
		return idInitramfs // a unified kernel image holds one
	}
	if strings.HasPrefix(p, "loader/entries/") && strings.HasSuffix(p, ".conf") {
		return idKernel // it names the kernel by version, as its file does
	}
	dir, name := path.Split(p)
	if strings.Count(dir, "/") == 2 { // ENTRY-TOKEN/VERSION/, as kernel-install(8) lays them out
		switch name {
		case "linux":
			return idKernel
		case "initrd":
			return idInitramfs
		}
	}
	for _, prefix := range []string{"initramfs-", "initrd.img-", "initrd-", "initrd.img"} {
		if strings.HasPrefix(name, prefix) {
			return idInitramfs
		}
	}
	for _, prefix := range []string{"vmlinuz", "vmlinux", ".vmlinuz", "System.map", "config-", "symvers-", "Image-",
		"kernel-"} {
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
