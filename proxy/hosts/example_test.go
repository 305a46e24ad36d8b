package hosts_test

import (
	"fmt"

	"github.com/strata-oci/strata/proxy/hosts"
)

func ExampleMake() {
	c, err := hosts.Make(hosts.Setup{Name: "proxy.example", Images: []string{"ghcr.io/ublue-os"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(c.Files[0].Path, "\n", c.Files[0].Content)
	// Output:
	// /etc/containers/registries.conf.d/50-strata-proxy.example.conf
	// [[registry]]
	// prefix = "ghcr.io/ublue-os"
	// location = "ghcr.io/ublue-os"
	//
	// [[registry.mirror]]
	// location = "proxy.example/ghcr.io/ublue-os"
}
