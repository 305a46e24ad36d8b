package selinux_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/selinux"
)

// An image whose policy labels libraries, and one file by name.
func ExampleRead() {
	image := map[string]string{
		"etc/selinux/config": "SELINUXTYPE=targeted\n",
		"etc/selinux/targeted/contexts/files/file_contexts": `
/.*	system_u:object_r:default_t:s0
/usr/lib/.*	--	system_u:object_r:lib_t:s0
/usr/lib/firmware\.bin	--	system_u:object_r:firmware_t:s0
`,
	}
	labels, err := selinux.Read(func(path string) (io.ReadCloser, error) {
		text, ok := image[path]
		if !ok {
			return nil, nil
		}
		return io.NopCloser(strings.NewReader(text)), nil
	})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"opt/a", "usr/lib/a.so", "usr/lib/firmware.bin"} {
		label, err := labels.Of(path)
		fmt.Println(path, label, err)
	}
	// Output:
	// opt/a system_u:object_r:default_t:s0 <nil>
	// usr/lib/a.so system_u:object_r:lib_t:s0 <nil>
	// usr/lib/firmware.bin system_u:object_r:firmware_t:s0 <nil>
}
