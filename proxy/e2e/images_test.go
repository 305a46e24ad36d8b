package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// The image for edges has all programs that may wrap files, where they are looked for, and is what the quadlet runs.
func TestEdgeImage(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, stage, _ := strings.Cut(read("../../Dockerfile"), "\nFROM debian:stable-slim AS edge\n")
	stage, plain, found := strings.Cut(stage, "\nFROM ")
	if !found || !strings.HasPrefix(plain, "scratch\n") || strings.Contains(plain, "\nFROM ") {
		t.Error("the image without a target is not the one with nothing but the program")
	}
	packages := regexp.MustCompile(`apt-get install -y --no-install-recommends (.*) \\`).FindStringSubmatch(stage)
	if packages == nil {
		t.Fatal("nothing is installed")
	}
	for program, of := range map[string]string{
		wrap.ProgramGzip: "gzip", wrap.ProgramPigz: "pigz", wrap.ProgramXz: "xz-utils", wrap.ProgramZstd: "zstd",
	} {
		if !strings.Contains(" "+packages[1]+" ", " "+of+" ") {
			t.Errorf("the image has no %s", program)
		}
	}
	for _, line := range []string{"USER 65532:65532", "WORKDIR /var/lib/strata", `ENTRYPOINT ["/strata"]`, `CMD ["serve"]`} {
		if !strings.Contains(stage, "\n"+line+"\n") {
			t.Errorf("the stage has no line %s", line)
		}
	}
	if q := read("../../docs/deploy/strata-edge.container"); !strings.Contains(q,
		"--target edge -t localhost/strata-edge:latest") ||
		!strings.Contains(q, "\nImage=localhost/strata-edge:latest\n") {
		t.Error("the quadlet runs another image")
	} else if strings.Contains(q, "\nUser=") || !strings.Contains(q, "\nAddCapability=CAP_DAC_READ_SEARCH\n") {
		// Its volume belongs to the image's user, and without CAP_DAC_OVERRIDE nobody else can write there.
		t.Error("the quadlet runs as another user than the image's, or as one that cannot read the host's files")
	}
}
