package encoder

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// text is something to compress, of some kinds of redundancy.
func text(lines int) []byte {
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "%d: the %x of %d lies at %d\n", i, i*i*2654435761, i%97, i*37%1009)
	}
	return b.Bytes()
}

// made is what a shell's command line makes of plain bytes: as image builds run it.
func made(t *testing.T, plain []byte, command string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command) //nolint:gosec // a test's own
	cmd.Stdin, cmd.Dir = bytes.NewReader(plain), t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

// TestAgain: what image builds wrap is found and made again, with arguments of the list.
func TestAgain(t *testing.T) {
	t.Parallel()
	encoders := New(t.Context(), Options{Parallel: 2})
	trier := wrap.NewTrier(encoders, nil, wrap.DefaultLimits())
	short, long := text(3000), text(40_000)
	for _, c := range []struct {
		name, command string
		plain         []byte
	}{
		{"a manual page", "gzip -9n", short},
		{"a document", "gzip -9n", long},
		{"initramfs-tools", "gzip -n -6", long},
		{"fast", "gzip -n -1", short},
		{"dracut without pigz", "gzip -n -9 --rsyncable", long},
		{"dracut", "pigz -9 -n -T -R", long},
		{"pigz", "pigz -n -T", long},
		{"kernel modules, xz", "cat > m.ko && xz --check=crc32 --lzma2=dict=1MiB -T0 m.ko && cat m.ko.xz", short},
		{"kernel modules, one thread", "cat > m.ko && xz --check=crc32 --lzma2=dict=1MiB -T1 m.ko && cat m.ko.xz", short},
		{"firmware", "xz -C crc32 -T1", short},
		{"xz", "xz -T1", short},
		{"xz of several blocks", "xz -0 --check=crc32 -T2", long},
		{"xz of chosen blocks", "xz -T2 --block-size=50000", short},
		{"kernel image, xz", "xz --check=crc32 --x86 --lzma2=dict=32MiB -T1", short},
		{"xz of levels", "xz -2 -T1", short},
		{"extreme", "xz -9e -T1", short},
		{"kernel modules, zstd", "cat > m.ko && zstd -T0 --rm -f -q m.ko && cat m.ko.zst", short},
		{"dracut, zstd", "zstd -15 -q -T0", short},
		{"initramfs-tools, zstd", "zstd -q -9 -T0", long},
		{"zstd", "zstd -19 -T0", short},
		{"kernel image, zstd", "zstd -22 --ultra", short},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			content := bytes.NewReader(made(t, c.plain, c.command))
			parts, err := wrap.Parse(t.Context(), content, wrap.DefaultLimits(), nil)
			if err != nil || len(parts) != 1 || parts[0].Size != int64(len(c.plain)) {
				t.Fatal(parts, err)
			}
			if err := trier.Try(t.Context(), content, &parts[0]); err != nil {
				t.Fatal(err)
			}
			if parts[0].Encoder == nil {
				t.Fatal("not made again")
			}
			if err := Check(*parts[0].Encoder); err != nil {
				t.Error(err)
			}
			t.Log(strings.Join(parts[0].Encoder.Args, " "), parts[0].Seconds)
		})
	}
}
