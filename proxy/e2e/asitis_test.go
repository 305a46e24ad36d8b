package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// An image that bootc reads in its source's layers alone is served in those, and status and verify say why.
func TestReasonOfWhatIsServedAsItIs(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("os/image:v1", sourceImage{labels: series(false)[0].labels, layers: [][]byte{treetest.Gzip(t, treetest.Tar(t,
		treetest.Dir("usr"), treetest.File("usr/x", "x").WithXattr("security.ima", "\x03\n")))}})
	p := newProxy(t, u, proxyOptions{})
	p.wantManifest("os/image/manifests/v1", http.StatusOK, "original")
	var r operate.RepositoryDetail
	strata(t, &r, "status", upstreamHost+"/os/image", "--admin", "http://"+p.Operators)
	const why = `"security.ima" of "usr/x" has a line break`
	if len(r.Tags) != 1 || !strings.Contains(r.Tags[0].AsItIs, why) {
		t.Errorf("status says %+v", r.Tags)
	}
	var v oneshot.Verification
	strata(t, &v, "verify", "--insecure", "docker://"+u.host()+"/os/image:v1", "docker://"+p.image("os/image:v1"))
	if !v.Same || !strings.Contains(v.AsItIs, why) {
		t.Errorf("verify says %+v", v)
	}
}
